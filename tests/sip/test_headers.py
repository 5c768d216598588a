"""Via, name-addr and lists: RFC 3261 sections 7.3, 20.10, 20.42, 25."""

from __future__ import annotations

import pytest
import sipmessage
from hypothesis import assume, example, given
from hypothesis import strategies as st

from engine.sip import headers
from engine.sip.headers import MalformedHeader, NameAddr, Via, first_of_list, split_list
from tests.sip.samples import TOKEN, host_names, hosts, ipv4, ipv6, ports, tokens

# --- Via ---


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SIP/2.0/UDP h;branch=z9hG4bK1", Via("UDP", "h", 0, {"branch": "z9hG4bK1"})),
        (
            "SIP/2.0/TCP 192.0.2.1:5061;rport;branch=b",
            Via("TCP", "192.0.2.1", 5061, {"rport": "", "branch": "b"}),
        ),
        (
            "SIP/2.0/UDP h;branch=b;rport=9;received=192.0.2.1",
            Via("UDP", "h", 0, {"branch": "b", "rport": "9", "received": "192.0.2.1"}),
        ),
        ("SIP/2.0/UDP h", Via("UDP", "h", 0, {})),
        ("sip/2.0/udp H.Example:05062", Via("UDP", "h.example", 5062, {})),
        (
            "SIP / 2.0 / UNKNOWN\th : 5062 ; branch = b ; x",
            Via("UNKNOWN", "h", 5062, {"branch": "b", "x": ""}),
        ),
        ("SIP/2.0/TLS-SCTP h;BRANCH=B", Via("TLS-SCTP", "h", 0, {"branch": "B"})),
        ("SIP/2.0/UDP [2001:DB8::9:1]:5060", Via("UDP", "2001:db8::9:1", 5060, {})),
        ("SIP/2.0/UDP [2001:db8:::1]", Via("UDP", "2001:db8::1", 0, {})),
        ("SIP/2.0/UDP [::ffff:192.0.2.2]", Via("UDP", "::ffff:192.0.2.2", 0, {})),
        (
            "SIP/2.0/UDP [2001:db8::9:1];received=[2001:db8::9:255];branch=b",
            Via("UDP", "2001:db8::9:1", 0, {"received": "2001:db8::9:255", "branch": "b"}),
        ),
        (
            "SIP/2.0/UDP [2001:db8::9:1];received=2001:db8::9:255;branch=b",
            Via("UDP", "2001:db8::9:1", 0, {"received": "2001:db8::9:255", "branch": "b"}),
        ),
        ("SIP/2.0/UDP h;maddr=[ff02::1];ttl=1", Via("UDP", "h", 0, {"maddr": "ff02::1", "ttl": "1"})),
        ('SIP/2.0/UDP h;x="a;b,\\"c"', Via("UDP", "h", 0, {"x": 'a;b,"c'})),
        ("SIP/2.0/UDP h;branch=1;branch=2", Via("UDP", "h", 0, {"branch": "1"})),
        ("SIP/2.0/UDP h;branch=z9hG4bK-.!%66*_+`'~", Via("UDP", "h", 0, {"branch": "z9hG4bK-.!%66*_+`'~"})),
        ("SIP/7.0/UDP h", Via("UDP", "h", 0, {}, "7.0")),
    ],
)
def test_a_via_is_read(text: str, expected: Via) -> None:
    assert Via.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "SIP/2.0/UDP",
        "SIP/2.0/UDP ",
        "SIP/2.0 h",
        "HTTP/1.1/TCP h",
        "SIP/2.0/UDP;x h",
        "SIP/2.0/UDP h:",
        "SIP/2.0/UDP h:70000",
        "SIP/2.0/UDP h:123456",
        "SIP/2.0/UDP h:5060x",
        "SIP/2.0/UDP h x",
        "SIP/2.0/UDP h;",
        "SIP/2.0/UDP h;;",
        "SIP/2.0/UDP h;;branch=b",
        "SIP/2.0/UDP h;branch=a b",
        "SIP/2.0/UDP h;=b",
        'SIP/2.0/UDP h;x="open',
        "SIP/2.0/UDP 2001:db8::1",
        "SIP/2.0/UDP [2001:db8::1",
        "SIP/2.0/UDP [::1::2]",
        "SIP/2.0/UDP -h",
        "SIP/2.0/UDP h,SIP/2.0/UDP i",
    ],
)
def test_what_is_no_via_is_refused(text: str) -> None:
    with pytest.raises(MalformedHeader):
        Via.parse(text)


@pytest.mark.parametrize(
    ("text", "params"),
    [
        ("SIP/2.0/UDP h:7;branch=b", {"branch": "b"}),
        ("SIP/2.0/UDP h:7;rport;branch=b", {"rport": "", "branch": "b"}),
        (
            "SIP/2.0/UDP h:7;branch=b;rport=9;received=192.0.2.1",
            {"branch": "b", "rport": "9", "received": "192.0.2.1"},
        ),
        (
            "SIP/2.0/UDP h:7;rport;branch=b;received=192.0.2.1;rport=9",
            {"rport": "", "branch": "b", "received": "192.0.2.1"},
        ),
        ("SIP/2.0/UDP h:7;branch=b;rport;rport=9", {"branch": "b", "rport": ""}),
    ],
)
def test_a_via_is_read_the_same_every_time(text: str, params: dict[str, str]) -> None:
    for _ in range(3):
        via = Via.parse(text)
        assert via == Via("UDP", "h", 7, params)
        assert list(via.params) == list(params)
        via.params["branch"] = via.params["rport"] = via.params["more"] = "changed"
        via.params.pop("received", None)


@pytest.mark.parametrize("behind", ["", ";rport", ";rport=9;received=192.0.2.1"])
@pytest.mark.parametrize("branch", ["a b", "a{b", "a\x00", 'a"', "b;", "b,SIP/2.0/UDP i;branch=c"])
def test_a_wrong_branch_is_refused_between_well_known_parts(branch: str, behind: str) -> None:
    assert Via.parse(f"SIP/2.0/UDP h;branch=b{behind}").branch == "b"
    with pytest.raises(MalformedHeader):
        Via.parse(f"SIP/2.0/UDP h;branch={branch}{behind}")


def test_what_is_remembered_of_vias_is_bounded() -> None:
    for number in range(3 * headers._MAX_REMEMBERED):
        Via.parse(f"SIP/2.0/UDP h{number};branch=b;rport={number}")
        Via.parse(f"SIP/2.0/UDP {'h' * 300}{number};branch=b")
    remembered = [*headers._VIAS_BEFORE_BRANCH, *headers._VIAS_BEHIND_BRANCH]
    assert len(remembered) <= 2 * headers._MAX_REMEMBERED
    assert max(len(text) for text in remembered) <= headers._MAX_REMEMBERED_LENGTH


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SIP/2.0/UDP 192.0.2.15;;,;,,", Via("UDP", "192.0.2.15", 0, {})),
        ("SIP/2.0/UDP h:5062;branch=b;;rport", Via("UDP", "h", 5062, {"branch": "b", "rport": ""})),
        ("SIP/2.0/UDP h;branch=b@@;x=(;rport", Via("UDP", "h", 0, {"branch": "b@@", "rport": ""})),
        ("SIP/2.0/UDP", None),
        ("SIP/2.0/UDP [zz]", None),
        ("SIP/2.0/UDP [::1::]", None),
    ],
)
def test_what_can_be_saved_of_a_broken_via_is_saved(text: str, expected: Via | None) -> None:
    assert Via.salvage(text) == expected


via_params = st.dictionaries(
    tokens.map(str.lower),
    st.just("") | tokens | ipv4 | ipv6 | st.text(TOKEN + ' ,;\\"<>\0é', max_size=9),
    max_size=5,
)
vias = st.builds(Via, tokens.map(str.upper), hosts, ports, via_params, st.just("2.0"))


@given(vias)
def test_a_via_survives_writing_and_reading(via: Via) -> None:
    assert Via.parse(str(via)) == via


@given(
    transport=st.sampled_from(["UDP", "TCP", "TLS", "SCTP", "X-y.z"]),
    host=host_names | ipv4,
    port=st.none() | st.integers(1, 65535),
    params=st.dictionaries(
        tokens.filter(lambda name: "%" not in name), st.none() | tokens | ipv4, max_size=4
    ),
    space=st.sampled_from(["", " ", "\t "]),
)
def test_vias_are_read_as_sipmessage_reads_them(
    transport: str, host: str, port: int | None, params: dict[str, str | None], space: str
) -> None:
    assume(len({name.lower() for name in params}) == len(params))
    assume(
        not any("%" in value for value in params.values() if value)
    )  # sipmessage unescapes them, RFC 3261 does not
    text = f"SIP{space}/{space}2.0{space}/{space}{transport} {host}" + (f":{port}" if port else "")
    for name, value in params.items():
        text += f"{space};{space}{name}" + (f"{space}={space}{value}" if value is not None else "")
    theirs = sipmessage.Via.parse(text)
    ours = Via.parse(text)
    assert (ours.transport, ours.host, ours.port or None) == (
        theirs.transport.upper(),
        theirs.host,
        theirs.port,
    )
    assert ours.params == {name.lower(): value or "" for name, value in theirs.parameters.items()}


# --- name-addr ---


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<sip:a@b>", NameAddr("", "sip:a@b")),
        ("<sip:a@b>;tag=1", NameAddr("", "sip:a@b", {"tag": "1"})),
        ('"A B" <sip:a@b;x?y=z>;tag=1', NameAddr("A B", "sip:a@b;x?y=z", {"tag": "1"})),
        ('"A B"<sip:a@b>', NameAddr("A B", "sip:a@b")),
        ("caller<sip:a@b>;tag=3", NameAddr("caller", "sip:a@b", {"tag": "3"})),
        ("A. B  C\t<sip:a@b>", NameAddr("A. B C", "sip:a@b")),
        ("token1~` token2'+_ token3*%!.- <sip:a@b>", NameAddr("token1~` token2'+_ token3*%!.-", "sip:a@b")),
        ("张三 <sip:a@b>", NameAddr("张三", "sip:a@b")),
        (r'"q \" \\ <x>" <sip:a@b>', NameAddr('q " \\ <x>', "sip:a@b")),
        ('"\\\x07 \\\x00 \\\x7f" <sip:a@b>', NameAddr("\x07 \x00 \x7f", "sip:a@b")),
        ('"" <sip:a@b>', NameAddr("", "sip:a@b")),
        ('"Bell, A" <sip:a@b>', NameAddr("Bell, A", "sip:a@b")),
        ("sip:a@b", NameAddr("", "sip:a@b")),
        ("sip:a@b ;  tag  =  1 ; x", NameAddr("", "sip:a@b", {"tag": "1", "x": ""})),
        ("sip:a@b;user=phone;TAG=t", NameAddr("", "sip:a@b", {"user": "phone", "tag": "t"})),
        ("tel:+86-138-0000-0001;tag=1", NameAddr("", "tel:+86-138-0000-0001", {"tag": "1"})),
        ("<http://w.example>;tag=3", NameAddr("", "http://w.example", {"tag": "3"})),
        ("isbn:29837", NameAddr("", "isbn:29837")),
        ('<sip:a@b>;x="1;2, \\"3\\"";tag=t', NameAddr("", "sip:a@b", {"x": '1;2, "3"', "tag": "t"})),
        ("<sip:a@b> ;x''~+*_!.-%=\"раб\";tag=t", NameAddr("", "sip:a@b", {"x''~+*_!.-%": "раб", "tag": "t"})),
        ("<sip:a@[2001:db8::1]:5060>;tag=1", NameAddr("", "sip:a@[2001:db8::1]:5060", {"tag": "1"})),
        (
            '<sip:a@b>;+sip.instance="<urn:uuid:1>";q=0.3',
            NameAddr("", "sip:a@b", {"+sip.instance": "<urn:uuid:1>", "q": "0.3"}),
        ),
        ("<sip:a@b>;tag=1;tag=2", NameAddr("", "sip:a@b", {"tag": "1"})),
    ],
)
def test_a_name_addr_is_read(text: str, expected: NameAddr) -> None:
    assert NameAddr.parse(text) == expected
    assert NameAddr.parse(text).tag == expected.params.get("tag", "")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "*",
        "a@b",
        "<>",
        "<sip:>",
        "<a@b>",
        "<sip:a@b",
        "sip:a@b>",
        "<< sip:a@b>>",
        "< sip:a@b>",
        "<sip:a@b >",
        "<sip:a b@c>",
        '"open <sip:a@b>',
        '"a" "b" <sip:a@b>',
        '"a" b <sip:a@b>',
        "Bell, A <sip:a@b>",
        "a@b <sip:a@b>",
        "<sip:a@b>x",
        "<sip:a@b>;",
        "<sip:a@b>;;;;",
        "<sip:a@b>;tag=a b",
        '<sip:a@b>;tag="open',
        "<sip:a@b>,<sip:c@d>",
        "sip:a@b?Route=x",
        "sip:a,b@c",
        "sip:a@b\x00",
        "<sip:a@b\x00>",
    ],
)
def test_what_is_no_name_addr_is_refused(text: str) -> None:
    with pytest.raises(MalformedHeader):
        NameAddr.parse(text)


displays = st.text(max_size=12).filter(lambda text: "\r" not in text and "\n" not in text)
name_addrs = st.builds(NameAddr, displays, st.sampled_from(["sip:a@b", "tel:+1", "x:y,z;w?v"]), via_params)


@given(name_addrs)
@example(NameAddr('"', "sip:a@b", {"tag": "\\"}))
def test_a_name_addr_survives_writing_and_reading(value: NameAddr) -> None:
    assert NameAddr.parse(str(value)) == value


@given(
    display=st.text(TOKEN, max_size=8) | st.text(TOKEN + " ,;<>@", max_size=8).map(lambda text: f'"{text}"'),
    user=tokens.filter(lambda text: "%" not in text and "`" not in text),
    host=host_names | ipv4,
    params=st.dictionaries(tokens, st.none() | tokens, max_size=4),
    space=st.sampled_from(["", " "]),
)
def test_name_addrs_are_read_as_sipmessage_reads_them(
    display: str, user: str, host: str, params: dict[str, str | None], space: str
) -> None:
    assume(len({name.lower() for name in params}) == len(params))
    assume(not any("%" in f"{name}{value}" for name, value in params.items()))
    text = f"{display}{space}<sip:{user}@{host}>"
    for name, value in params.items():
        text += f"{space};{space}{name}" + (f"{space}={space}{value}" if value is not None else "")
    theirs = sipmessage.Address.parse(text)
    ours = NameAddr.parse(text)
    assert (ours.display.strip(), ours.uri) == (theirs.name.strip(), str(theirs.uri))
    assert ours.params == {name.lower(): value or "" for name, value in theirs.parameters.items()}


@given(
    display=st.sampled_from(["", "a", "a b.c", '"a b"', '"é, <x>"']),
    uri=st.sampled_from(["sip:a@b", "tel:+86-1", "sip:a@[::1];lr?x=y", "x:y"]),
    tag=st.none() | tokens,
)
def test_white_space_around_parts_makes_no_difference(display: str, uri: str, tag: str | None) -> None:
    plain = f"{display}<{uri}>" + (f";tag={tag}" if tag else "")
    roomy = f"{display} \t <{uri}> " + (f"; TAG = {tag}" if tag else "")
    value = NameAddr.parse(plain)
    assert (value.display, value.uri, value.tag) == (display.strip('"'), uri, tag or "")
    assert NameAddr.parse(roomy) == value
    if tag:
        assert Via.parse(f"SIP / 2.0/UDP\th:1 ; rport ; branch = {tag}") == Via.parse(
            f"SIP/2.0/UDP h:1;rport;branch={tag}"
        )


# --- lists ---


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("a", ["a"]),
        ("a,b", ["a", "b"]),
        (" a ,\tb ,, c,", ["a", "b", "c"]),
        ('"x, y" <sip:a,b@c>;p="1,2" , <sip:d>', ['"x, y" <sip:a,b@c>;p="1,2"', "<sip:d>"]),
        (r'"a\", b",c', [r'"a\", b"', "c"]),
        ('b, "open, a', ["b", '"open, a']),
        ("b, <open, a", ["b", "<open, a"]),
        ('b, "open\\', ["b", '"open\\']),
        ('a",b"c,d', ['a",b"c', "d"]),
        (",,,", []),
    ],
)
def test_a_list_is_split_at_its_own_commas(text: str, expected: list[str]) -> None:
    assert split_list(text) == expected
    assert first_of_list(text) == (expected[0] if expected and not text.startswith(",") else "")


@given(st.lists(name_addrs | vias, min_size=1, max_size=5), st.sampled_from([",", ", ", " ,\t"]))
def test_a_list_of_values_is_split_into_these_values(values: list[NameAddr | Via], comma: str) -> None:
    written = [str(value) for value in values]
    assert split_list(comma.join(written)) == written
    assert first_of_list(comma.join(written)) == written[0]


@given(st.text(max_size=80) | st.text('sip:SIP/2.0 UDP<>@";,=\\a1\t[]', max_size=80))
def test_any_text_is_read_or_refused(text: str) -> None:
    assert len(split_list(text)) <= text.count(",") + 1
    try:
        value: NameAddr | Via = NameAddr.parse(text)
        assert NameAddr.parse(str(value)) == value
    except MalformedHeader:
        pass
    try:
        value = Via.parse("SIP/2.0/UDP h" + text)
        assert Via.parse(str(value)) == value
    except MalformedHeader:
        pass
    Via.salvage(text)

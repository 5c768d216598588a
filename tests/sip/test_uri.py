"""SIP and tel URIs: RFC 3261 section 19.1, RFC 3966, RFC 5118."""

from __future__ import annotations

import ipaddress
import string
from collections.abc import Callable

import pytest
import sipmessage
from hypothesis import assume, example, given
from hypothesis import strategies as st

from engine.sip import uri
from engine.sip.uri import MalformedUri, SipUri, TelUri, is_ipv6, parse_uri
from tests.sip.samples import host_names, hosts, ipv4, ports

UNRESERVED = string.ascii_letters + string.digits + "-_.!~*'()"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sip:example.com", SipUri("sip", "", "example.com")),
        ("SIP:Example.COM", SipUri("sip", "", "example.com")),
        ("sips:a@b.example:5061", SipUri("sips", "a", "b.example", 5061)),
        ("sip:a:secret@b", SipUri("sip", "a", "b", password="secret")),
        ("sip:a:@b", SipUri("sip", "a", "b")),
        ("sip:%61%40b@c", SipUri("sip", "a@b", "c")),
        ("sip:nul%00l@c", SipUri("sip", "nul\0l", "c")),
        ("sip:%E5%8C%97@c", SipUri("sip", "北", "c")),
        ("sip:%FF@c", SipUri("sip", "\udcff", "c")),
        ("sip:8613800000001;npdi;rn=+86138@c", SipUri("sip", "8613800000001;npdi;rn=+86138", "c")),
        ("sip:a;x=%40home@c", SipUri("sip", "a;x=@home", "c")),
        ("sip:what?/now,;&=$@c", SipUri("sip", "what?/now,;&=$", "c")),
        ("sip:a@c;transport=TCP;LR", SipUri("sip", "a", "c", params={"transport": "TCP", "lr": ""})),
        ("sip:a@c;%6C%72;p=%2541", SipUri("sip", "a", "c", params={"lr": "", "p": "%41"})),
        ("sip:a@c;x=1;X=2", SipUri("sip", "a", "c", params={"x": "1"})),
        ("sip:a@c;did=Ym9i==", SipUri("sip", "a", "c", params={"did": "Ym9i=="})),
        ("sip:c?subject=hi&to=%3Csip:d%3E", SipUri("sip", "", "c", headers="subject=hi&to=%3Csip:d%3E")),
        ("sip:c;p?h=v", SipUri("sip", "", "c", params={"p": ""}, headers="h=v")),
        ("sip:[2001:DB8::10]", SipUri("sip", "", "2001:db8::10")),
        ("sip:[2001:db8::10:5070]", SipUri("sip", "", "2001:db8::10:5070")),
        ("sip:[2001:db8::10]:5070", SipUri("sip", "", "2001:db8::10", 5070)),
        ("sip:u@[2001:db8:::192.0.2.1]", SipUri("sip", "u", "2001:db8::192.0.2.1")),
        ("sip:[::ffff:192.0.2.10]:5060", SipUri("sip", "", "::ffff:192.0.2.10", 5060)),
        ("sip:a@sip_server.local", SipUri("sip", "a", "sip_server.local")),
        ("tel:+86-138-0000-0001", TelUri("+86-138-0000-0001")),
        ("TEL:+86(138)0000.0001", TelUri("+86(138)0000.0001")),
        ("tel:700123456789012;phone-context=+86", TelUri("700123456789012", {"phone-context": "+86"})),
        ("tel:*21#;Phone-Context=a.example", TelUri("*21#", {"phone-context": "a.example"})),
        ("tel:+1;npdi;rn=+12", TelUri("+1", {"npdi": "", "rn": "+12"})),
    ],
)
def test_a_uri_is_read(text: str, expected: SipUri | TelUri) -> None:
    assert parse_uri(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sip:",
        "sip",
        "a@b",
        "sip:@b",
        "sip:a@",
        "sip::p@b",
        "sip:a@b@c",
        "sip:a b@c",
        "sip:a@c d",
        "sip:a@c ",
        " sip:a@c",
        "<sip:a@c>",
        'sip:"a"@c',
        "sip:a@c;",
        "sip:a@c;;x",
        "sip:a@c;x y",
        "sip:a@c?",
        "sip:a@c?x=<",
        "sip:%4@c",
        "sip:%ZZ@c",
        "sip:a@c;p=%G0",
        "sip:c:",
        "sip:c:0x50",
        "sip:c:65536",
        "sip:c:123456",
        "sip:c:٥٠٦٠",
        "sip:2001:db8::10",
        "sip:[2001:db8::10",
        "sip:2001:db8::10]",
        "sip:[2001:db8::1::2]",
        "sip:[192.0.2.1]",
        "sip:[fe80::1%25eth0]",
        "sip:[]",
        "sip:ü.example",
        "sip:ü@c",
        "sip:-a.example",
        "tel:",
        "tel:+",
        "tel:+-",
        "tel:+86x",
        "tel:+86 138",
        "tel:sip",
        "tel:+86;",
        "tel:+86;a=;;",
        "1sip:a",
        "ſip:a@c",
        "x y:z",
        "http:",
        "http:a b",
    ],
)
def test_what_is_no_uri_is_refused(text: str) -> None:
    with pytest.raises(MalformedUri) as caught:
        parse_uri(text)
    assert not caught.value.unknown_scheme


@pytest.mark.parametrize(
    "text", ["http://a.example/", "im:a@b", "soap.beep://192.0.2.1:30", "X-y+z.1:opaque"]
)
def test_another_scheme_is_told_from_nonsense(text: str) -> None:
    with pytest.raises(MalformedUri) as caught:
        parse_uri(text)
    assert caught.value.unknown_scheme


names = st.text(min_size=1, max_size=8).map(str.lower).filter(lambda name: name == name.lower())
sip_uris = st.builds(
    SipUri,
    scheme=st.sampled_from(["sip", "sips"]),
    user=st.text(max_size=20),
    host=hosts,
    port=ports,
    params=st.dictionaries(names, st.text(max_size=8), max_size=4),
    headers=st.sampled_from(["", "a=b", "x=%20&y=[]"]),
)


@given(sip_uris, st.text(max_size=6))
def test_a_sip_uri_survives_writing_and_reading(uri: SipUri, password: str) -> None:
    if uri.user:
        uri.password = password
    assert parse_uri(str(uri)) == uri


@given(
    st.from_regex(r"\+[0-9][0-9.()\-]{0,14}|[0-9A-F*#][0-9A-F*#.()\-]{0,14}", fullmatch=True),
    st.dictionaries(names, st.text(max_size=8), max_size=4),
)
def test_a_tel_uri_survives_writing_and_reading(number: str, params: dict[str, str]) -> None:
    uri = TelUri(number, params)
    assert parse_uri(str(uri)) == uri


oracle_text = st.lists(
    st.sampled_from([*UNRESERVED, "&", "+", "$", "%25", "%20", "%3B", "%e5%8c%97"]), min_size=1, max_size=12
)
oracle_params = st.lists(st.tuples(oracle_text, st.none() | oracle_text), max_size=4)


@given(
    scheme=st.sampled_from(["sip", "sips"]),
    user=st.none() | oracle_text,
    host=host_names | ipv4,
    port=st.none() | st.integers(1, 65535),
    params=oracle_params,
)
def test_sip_uris_are_read_as_sipmessage_reads_them(
    scheme: str,
    user: list[str] | None,
    host: str,
    port: int | None,
    params: list[tuple[list[str], list[str] | None]],
) -> None:
    text = f"{scheme}:" + ("".join(user) + "@" if user is not None else "") + host
    text += f":{port}" if port else ""
    for name, value in params:
        text += ";" + "".join(name) + ("=" + "".join(value) if value is not None else "")
    theirs = sipmessage.URI.parse(text)
    lower = [name.lower() for name in theirs.parameters]
    assume(len(set(lower)) == len(params))
    ours = parse_uri(text)
    assert isinstance(ours, SipUri)
    assert (ours.scheme, ours.user or None, ours.host, ours.port or None) == (
        theirs.scheme,
        theirs.user,
        theirs.host,
        theirs.port,
    )
    assert ours.params == {name.lower(): value or "" for name, value in theirs.parameters.items()}


@given(st.text(max_size=60) | st.text("sip:tel@[]%;?=.a1 <>\0", max_size=60).map(lambda tail: "sip:" + tail))
@example("sip:" + "%" * 50)
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        uri = parse_uri(text)
    except MalformedUri:
        return
    assert parse_uri(str(uri)) == uri


def outcome(parse: Callable[[str], SipUri | TelUri], text: str) -> str:
    try:
        return repr(parse(text))
    except MalformedUri as error:
        return f"refused: {error} {error.unknown_scheme}"


@given(
    st.sampled_from(["sip:", "sip:", "sip:", "sips:", "SIP:", "tel:"]),
    st.sampled_from(
        ["", "@", "700123456789012@", "+8613800000001@", "a.b-c_d@", "a;b@", "%61@", "a:b@", "a@b@"]
    ),
    st.sampled_from(
        ["192.0.2.7", "192.0.2.7", "h-1.example", "[2001:db8::1]", "H.example", "_h", "-h", "", "h h"]
    ),
    st.sampled_from(["", ":0", ":5060", ":65535", ":65536", ":59999", ":00005", ":", ":5x"]),
    st.lists(
        st.sampled_from(["lr", "transport=udp", "LR=1", "a=b=c", "=", "", "a=%41", "x_y.z-0=Q", "[a]"]),
        max_size=4,
    ),
    st.sampled_from(["", "", "?a=b", " ", "\n"]),
)
@example("sip:", "a@", "h", "", ["a"] * 300, "")
def test_everyday_and_any_uris_are_read_alike(
    scheme: str, user: str, host: str, port: str, params: list[str], end: str
) -> None:
    text = scheme + user + host + port + "".join([f";{param}" for param in params]) + end
    assert outcome(parse_uri, text) == outcome(uri._any_uri, text)


def test_the_usual_uri_needs_one_look() -> None:
    for text in ("sip:+8613800000001@192.0.2.7:5060", "sip:h.example;transport=udp;lr"):
        assert uri._EVERYDAY_URI.fullmatch(text) is not None


@given(st.ip_addresses(v=6).map(str) | st.text("0123456789abcdef:.", max_size=24))
@example("::")
@example("1::8")
@example("1:2:3:4:5:6:7::")
@example("1:2:3:4:5:6:7:8::")
@example("::1.2.3.4")
@example("1.2.3.4::")
@example("::1.2.3.400")
def test_ipv6_addresses_are_those_of_the_standard_library(text: str) -> None:
    try:
        ipaddress.IPv6Address(text)
        expected = True
    except ValueError:
        expected = False
    assert is_ipv6(text) == expected

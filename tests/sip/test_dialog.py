"""Dialogs: RFC 3261 section 12, and where requests in them go."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.sip.dialog import Dialog, answering_dialog, calling_dialog, destination
from engine.sip.flow import Flow
from engine.sip.headers import MalformedHeader, NameAddr
from engine.sip.message import MalformedMessage, Request, Response, parse_message
from engine.sip.outgoing import OutgoingRequest
from engine.sip.uri import parse_uri
from tests.sip import samples
from tests.sip.machines import invite

SOURCE = Flow("udp", "192.0.2.9", 5062, 3, "pstn")
CONNECTION = Flow("tcp", "192.0.2.9", 5062, 17, "pstn")
LOOSE = ("<sip:192.0.2.7;lr>", "<sip:192.0.2.8:5070;lr;ftag=x>")


def answering(flow: Flow = SOURCE, /, **changed: str) -> Dialog:
    """The dialog of an INVITE of theirs."""
    changed = {"contact": "Contact: <sip:a@192.0.2.9:5062>"} | changed
    request = parse_message(samples.request("INVITE", b"", **changed))
    assert isinstance(request, Request)
    return answering_dialog(request, "ours", flow)


def calling(flow: Flow = SOURCE, /, **changed: str) -> Dialog:
    """The dialog of an INVITE of ours."""
    changed = {"contact": "Contact: <sip:b@192.0.2.9:5062>", "to": "To: <sip:b@x>;tag=theirs"} | changed
    response = parse_message(samples.response("SIP/2.0 200 OK", b"", **changed))
    assert isinstance(response, Response)
    return calling_dialog(invite(), "we", response, flow)


def line(text: str, name: str) -> list[str]:
    return [line.partition(": ")[2] for line in text.split("\r\n") if line.startswith(f"{name}: ")]


# --- 12.1: how a dialog begins ---


def test_the_answering_side_takes_everything_from_the_invite() -> None:
    dialog = answering(cseq="CSeq: 314 INVITE", to='To: "B" <sip:b@x>')
    assert (dialog.call_id, dialog.local_tag, dialog.remote_tag) == ("one@192.0.2.9", "ours", "a1")
    assert (dialog.local, dialog.remote) == ('"B" <sip:b@x>;tag=ours', "<sip:13800000001@192.0.2.9>;tag=a1")
    assert (dialog.remote_target, dialog.remote_cseq, dialog.routes) == ("sip:a@192.0.2.9:5062", 314, [])


def test_the_calling_side_takes_the_rest_from_the_answer() -> None:
    dialog = calling()
    assert (dialog.call_id, dialog.local_tag, dialog.remote_tag) == ("one@192.0.2.1", "we", "theirs")
    assert (dialog.local, dialog.remote) == ("<sip:700123456789012@192.0.2.1>;tag=we", "<sip:b@x>;tag=theirs")
    assert (dialog.remote_target, dialog.local_cseq) == ("sip:b@192.0.2.9:5062", 7)
    assert dialog.remote_cseq < 0  # 0 is a number that they may begin with


@pytest.mark.parametrize(
    "written",
    [
        {"route": f"Record-Route: {LOOSE[0]}, {LOOSE[1]}"},
        {"route": f"Record-Route: {LOOSE[0]}", "more": f"record-route: {LOOSE[1]}"},
        {"route": f"Record-Route: {LOOSE[0]},\r\n {LOOSE[1]}"},
    ],
)
def test_routes_keep_their_order_here_and_are_reversed_there(written: dict[str, str]) -> None:
    assert answering(**written).routes == list(LOOSE)
    assert calling(**written).routes == list(reversed(LOOSE))


@pytest.mark.parametrize(
    "contact", ["X: y", "Contact: *", "Contact: <http://192.0.2.9/>", "m: <mailto:a@x>", "Contact: <sip:@x>"]
)
def test_an_invite_that_nobody_can_be_reached_by_makes_no_dialog(contact: str) -> None:
    with pytest.raises(MalformedHeader):
        answering(contact=contact)


@pytest.mark.parametrize(
    "contact", ["X: y", "Contact: *", "Contact: <<>>", "Contact: <http://x/>", "Contact: ,"]
)
def test_an_answer_without_a_contact_leaves_the_request_uri(contact: str) -> None:
    dialog = calling(contact=contact)
    assert dialog.remote_target == "sip:13800000002@192.0.2.9:5062"
    assert dialog.target_flow is SOURCE


def test_a_tel_uri_may_be_the_target() -> None:
    dialog = answering(contact="Contact: <tel:+8613800000001>")
    assert dialog.request("BYE").uri == "tel:+8613800000001"
    assert dialog.target_flow is SOURCE


# --- 12.2.1.1: requests ---


def test_each_request_counts_and_the_ack_does_not() -> None:
    dialog = calling()
    assert [dialog.request(method).cseq for method in ("INVITE", "BYE")] == [8, 9]
    ack = dialog.ack(8)
    assert (ack.method, ack.cseq) == ("ACK", 8)
    assert dialog.request("BYE").cseq == 10
    assert answering().request("INVITE").cseq == 1


def test_a_request_is_written_from_the_dialog() -> None:
    text = answering().request("BYE", "Reason: Q.850;cause=16\r\n", "", 69).render("SIP/2.0/UDP we").decode()
    assert text.split("\r\n") == [
        "BYE sip:a@192.0.2.9:5062 SIP/2.0",
        "Via: SIP/2.0/UDP we",
        "Max-Forwards: 69",
        "From: <sip:700123456789012@192.0.2.1>;tag=ours",
        "To: <sip:13800000001@192.0.2.9>;tag=a1",
        "Call-ID: one@192.0.2.9",
        "CSeq: 1 BYE",
        "Reason: Q.850;cause=16",
        "Content-Length: 0",
        "",
        "",
    ]


def test_loose_routers_are_listed_and_the_target_is_asked_for() -> None:
    dialog = answering(route=f"Record-Route: {LOOSE[0]}, {LOOSE[1]}")
    text = dialog.request("BYE").render("v").decode()
    assert text.startswith("BYE sip:a@192.0.2.9:5062 SIP/2.0\r\n")
    assert line(text, "Route") == list(LOOSE)
    assert (dialog.target_flow.host, dialog.target_flow.port) == ("192.0.2.7", 5060)


def test_a_strict_router_is_asked_for_and_the_target_stands_last() -> None:
    strict = '"R" <sip:r@192.0.2.7:5070;transport=tcp?Subject=x>'
    dialog = answering(route=f"Record-Route: {strict}, {LOOSE[1]}")
    text = dialog.request("BYE").render("v").decode()
    assert text.startswith("BYE sip:r@192.0.2.7:5070;transport=tcp SIP/2.0\r\n")
    assert line(text, "Route") == [LOOSE[1], "<sip:a@192.0.2.9:5062>"]
    flow = dialog.target_flow
    assert (flow.transport, flow.host, flow.port) == ("tcp", "192.0.2.7", 5070)


def test_headers_in_a_contact_do_not_reach_the_request_uri() -> None:
    """19.1.1: they are for requests that a person starts from such a URI."""
    dialog = answering(contact="Contact: <sip:a%20b@192.0.2.9:5062;x=y?Replaces=z&Subject=s>")
    assert dialog.request("BYE").uri == "sip:a%20b@192.0.2.9:5062;x=y"
    assert answering(contact="Contact: <sip:a?b@192.0.2.9>").request("BYE").uri == "sip:a?b@192.0.2.9"


# --- 12.2: target refresh ---


def test_a_new_contact_is_the_new_target_but_routes_stay() -> None:
    dialog = answering()
    dialog.refresh_target(NameAddr.parse("<sip:new@192.0.2.50:5090>"), SOURCE)
    assert dialog.request("BYE").uri == "sip:new@192.0.2.50:5090"
    assert (dialog.target_flow.host, dialog.target_flow.port) == ("192.0.2.50", 5090)
    routed = answering(route=f"Record-Route: {LOOSE[0]}")
    routed.refresh_target(NameAddr.parse("<sip:new@192.0.2.50:5090>"), SOURCE)
    assert routed.request("BYE").uri == "sip:new@192.0.2.50:5090"
    assert routed.routes == [LOOSE[0]]
    assert routed.target_flow.host == "192.0.2.7"


@pytest.mark.parametrize("contact", [None, NameAddr("", "http://192.0.2.50/"), NameAddr("", "sip:")])
def test_a_contact_that_is_none_leaves_the_target(contact: NameAddr | None) -> None:
    dialog = answering()
    dialog.refresh_target(contact, SOURCE)
    assert dialog.request("BYE").uri == "sip:a@192.0.2.9:5062"
    assert dialog.target_flow is SOURCE


@pytest.mark.parametrize("contact", ["<sip:a@pbx.example>", "<sip:a@192.0.2.9:5062;transport=tcp>"])
def test_who_comes_over_a_new_connection_is_answered_there(contact: str) -> None:
    """With the Contact unchanged, and with none."""
    dialog = answering(CONNECTION, contact=f"Contact: {contact}")
    assert dialog.target_flow is CONNECTION
    for again in (NameAddr.parse(contact), None):
        renewed = Flow("tcp", "192.0.2.9", 5062, 18, "pstn")
        dialog.refresh_target(again, renewed)
        assert dialog.flow is renewed
        assert dialog.target_flow is renewed


# --- where it goes ---


@pytest.mark.parametrize("source", [SOURCE, CONNECTION])
@pytest.mark.parametrize(
    "uri",
    [
        "sip:a@pbx.example", "sip:a@localhost:5070", "sip:a@1", "sip:a@1.2", "sip:a@192.0.2", "sip:a@0x7f000001",
        "sip:a@999.1.1.1", "sip:a@192.0.2.256", "sip:a@1.2.3.4.5", "sip:a@010.1.1.1", "sip:a@192.0.2.08",
        "sip:a@0.0.0.0", "sip:a@0.1.2.3", "sip:a@224.0.0.1", "sip:a@255.255.255.255", "sip:a@[::]", "sip:a@[ff02::1]",
        "tel:+8613800000001", "sips:a@192.0.2.50", "sips:a@192.0.2.9:5062",
        "sip:a@192.0.2.50;transport=tls", "sip:a@192.0.2.50;transport=sctp", "sip:a@192.0.2.50;transport=x",
    ],
)  # fmt: skip
def test_names_and_what_is_no_hosts_address_lead_back_to_the_source(uri: str, source: Flow) -> None:
    assert destination(parse_uri(uri), source) is source


def test_nothing_known_leads_back_to_the_source() -> None:
    assert destination(None, SOURCE) is SOURCE


@pytest.mark.parametrize(
    ("uri", "transport", "host", "port"),
    [
        ("sip:192.0.2.50", "udp", "192.0.2.50", 5060),
        ("sip:192.0.2.50:5070;transport=UDP", "udp", "192.0.2.50", 5070),
        ("sip:192.0.2.50;transport=tcp", "tcp", "192.0.2.50", 5060),
        ("sip:a@223.255.255.254:65535", "udp", "223.255.255.254", 65535),
        ("sip:a@1.0.0.0", "udp", "1.0.0.0", 5060),
        ("sip:a@[2001:db8::9]:5070", "udp", "2001:db8::9", 5070),
        ("sip:a@[2001:DB8:0:0:0::9]", "udp", "2001:db8::9", 5060),
        ("sip:a@[::ffff:192.0.2.1]", "udp", "::ffff:c000:201", 5060),
    ],
)
def test_an_address_is_gone_to(uri: str, transport: str, host: str, port: int) -> None:
    flow = destination(parse_uri(uri), SOURCE)
    assert (flow.transport, flow.host, flow.port, flow.local, flow.trunk) == (
        transport,
        host,
        port,
        0,
        "pstn",
    )


@pytest.mark.parametrize(
    ("uri", "port"),
    [
        ("sip:a@192.0.2.9:5062", 5062),
        ("sip:a@192.0.2.9:5062;transport=tcp", 5062),
        ("sip:a@192.0.2.9;transport=tcp", 5060),
        ("sip:a@192.0.2.9:41000;transport=TCP", 41000),
    ],
)
def test_a_connection_is_used_again_for_its_host(uri: str, port: int) -> None:
    flow = destination(parse_uri(uri), CONNECTION)
    assert (flow.transport, flow.host, flow.port, flow.local) == ("tcp", "192.0.2.9", port, 17)


def test_the_default_port_is_the_connections_port_where_it_is_5060() -> None:
    connection = Flow("tcp", "192.0.2.9", 5060, 17, "pstn")
    assert destination(parse_uri("sip:a@192.0.2.9"), connection) is connection
    assert destination(parse_uri("sip:a@192.0.2.9:5060"), connection) is connection


def test_another_transport_to_the_same_host_is_another_way() -> None:
    flow = destination(parse_uri("sip:a@192.0.2.9:5062;transport=udp"), CONNECTION)
    assert (flow.transport, flow.host, flow.port, flow.local) == ("udp", "192.0.2.9", 5062, 0)
    flow = destination(parse_uri("sip:a@192.0.2.9:5062;transport=tcp"), SOURCE)
    assert (flow.transport, flow.host, flow.port, flow.local) == ("tcp", "192.0.2.9", 5062, 0)


def test_a_udp_peer_on_another_port_is_reached_from_the_same_socket() -> None:
    flow = destination(parse_uri("sip:a@192.0.2.9:5090"), SOURCE)
    assert (flow.transport, flow.host, flow.port, flow.local) == ("udp", "192.0.2.9", 5090, 3)


@pytest.mark.parametrize(
    "route", ["<sip:edge.example;lr>", "<tel:1>", "<http://x/>;lr", "<<>", "sip:edge.example;lr"]
)
def test_a_route_that_leads_nowhere_leads_back_to_the_source(route: str) -> None:
    dialog = answering(contact="Contact: <sip:a@192.0.2.50>", route=f"Record-Route: {route}")
    assert dialog.target_flow is SOURCE


_URIS = st.tuples(
    st.sampled_from(["", "a@", "1380000001@", "a;b?c,d@", "a%40b@", "@", "a:b@"]),
    st.sampled_from(
        ["192.0.2.9", "192.0.2.50", "PBX.example", "pbx.example", "224.0.0.1", "-", "[2001:db8::9]"]
    ),
    st.sampled_from(["", ":", ":0", ":5060", ":5062", ":05062", ":59999", ":65535", ":65536"]),
    st.sampled_from(
        ["", ";transport=", ";transport=udp", ";transport=TCP", ";transport=tls", ";lr", "?Subject=x"]
    ),
).map(lambda parts: "sip:" + "".join(parts))


@given(
    _URIS, st.sampled_from([SOURCE, CONNECTION, Flow("tcp", "192.0.2.9", 5060, 17, "pstn")]), st.booleans()
)
def test_the_usual_contact_is_read_as_any_other(uri: str, source: Flow, is_caller: bool) -> None:
    """Written with a display name it is not the usual one any more, and means the same."""
    made = answering if is_caller else calling
    read: list[object] = []
    for contact in (f"<{uri}>", f'"A" <{uri}>'):
        try:
            dialog = made(source, contact=f"Contact: {contact}")
        except (MalformedMessage, MalformedHeader) as error:
            read.append(type(error))
        else:
            flow = dialog.target_flow
            read.append((dialog.remote_target, flow.transport, flow.host, flow.port, flow.local, flow.trunk))
    assert read[0] == read[1]


# --- garbage ---

_TEXT = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=40) | st.text(
    '<>;:,@?=[]"\\%. sipeltr1290', max_size=40
)


@given(_TEXT, _TEXT, st.booleans())
def test_whatever_stands_in_contact_and_record_route_a_request_can_be_written(
    contact: str, route: str, is_caller: bool
) -> None:
    changed = {"contact": f"Contact: {contact}", "route": f"Record-Route: {route}"}
    try:
        dialog = answering(**changed) if is_caller else calling(**changed)
    except (MalformedMessage, MalformedHeader):
        return
    _check(dialog.request("BYE"))
    dialog.refresh_target(_name_addr(contact), SOURCE)
    _check(dialog.request("INVITE"))


def _name_addr(text: str) -> NameAddr | None:
    try:
        return NameAddr.parse(text)
    except MalformedHeader:
        return None


def _check(sent: OutgoingRequest) -> None:
    """It is a request that a far end can read, with nothing in it that could become another line."""
    message = parse_message(sent.render("SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1"))
    assert isinstance(message, Request)
    assert message.call_id == sent.call_id
    assert set(message.fields) <= {
        "via", "route", "max-forwards", "from", "to", "call-id", "cseq", "content-length"
    }  # fmt: skip

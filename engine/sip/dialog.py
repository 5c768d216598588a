"""Dialogs: what two user agents must remember to go on talking (RFC 3261 section 12)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Final

from engine.sip.flow import Flow
from engine.sip.headers import MalformedHeader, NameAddr
from engine.sip.message import Request, Response
from engine.sip.outgoing import OutgoingRequest
from engine.sip.uri import MalformedUri, SipUri, TelUri, parse_uri

# One host's address as the kernel reads it; anything else would make it ask a name server.
_IPV4: Final = re.compile(
    r"(?:[1-9][0-9]?|1[0-9][0-9]|2[01][0-9]|22[0-3])(?:\.(?:[1-9]?[0-9]|1[0-9][0-9]|2[0-4][0-9]|25[0-5])){3}"
)

# The usual Contact, which needs no more reading: groups URI, host, port, transport.
_PLAIN_CONTACT: Final = re.compile(
    r"<(sip:(?:[A-Za-z0-9\-_.!~*'()&=+$,;?/]++@)?([a-z0-9][a-z0-9.\-]*+)(?::([0-9]{1,4}|[1-5][0-9]{4}))?"
    r"(?:;transport=([A-Za-z]++))?)>"
)


@dataclass(slots=True)
class Dialog:
    """One dialog, early or confirmed, seen from the engine.

    `local` and `remote` are the values of From and To in a request of ours, tags included. `flow` is where the
    far end last sent from; `target_flow` is where requests to it go.
    """

    call_id: str
    local: str
    remote: str
    local_tag: str
    remote_tag: str
    remote_target: str
    routes: list[str]
    local_cseq: int
    remote_cseq: int  # -1: none received yet, for 0 is a number too
    flow: Flow
    target_flow: Flow

    def request(
        self, method: str, headers: str = "", body: str = "", max_forwards: int = 70
    ) -> OutgoingRequest:
        """The next request of ours in this dialog (12.2.1.1); counts CSeq up."""
        self.local_cseq += 1
        return self._build(method, self.local_cseq, headers, body, max_forwards)

    def ack(self, cseq: int, headers: str = "", body: str = "", max_forwards: int = 70) -> OutgoingRequest:
        """The ACK to a 2xx of the INVITE with that CSeq number (13.2.2.4)."""
        return self._build("ACK", cseq, headers, body, max_forwards)

    def refresh_target(self, contact: NameAddr | None, flow: Flow) -> None:
        """Takes the Contact of a target refresh request or its 2xx (12.2.1.2, 12.2.2) and its source."""
        self.flow = flow
        uri = _parsed(contact)
        if contact is not None and uri is not None:
            self.remote_target = _request_uri(contact.uri, uri)
        else:
            uri = _uri_of(f"<{self.remote_target}>")
        self.target_flow = _first_hop(self.routes, uri, flow)

    def _build(self, method: str, cseq: int, headers: str, body: str, max_forwards: int) -> OutgoingRequest:
        uri = self.remote_target
        routes = ""
        if self.routes:
            if _is_loose(self.routes[0]):
                following = self.routes
            else:
                # A strict router wants itself in the Request-URI and the target last (12.2.1.1).
                router = NameAddr.parse(self.routes[0]).uri
                uri = _request_uri(router, parse_uri(router))
                following = [*self.routes[1:], f"<{self.remote_target}>"]
            routes = "".join([f"Route: {route}\r\n" for route in following])
        return OutgoingRequest(
            method, uri, self.local, self.remote, self.call_id, cseq, max_forwards, routes, headers, body
        )


def answering_dialog(request: Request, local_tag: str, flow: Flow) -> Dialog:
    """The UAS side, from an INVITE that came in over `flow` (12.1.1). Raises MalformedHeader where its
    Contact is missing or leads nowhere."""
    routes = request.values("record-route")
    target, target_flow = _remote_target(request, routes, flow)
    if not target:
        raise MalformedHeader("Contact is missing or no sip or tel URI")
    return Dialog(
        call_id=request.call_id,
        local=f"{request.value('to')};tag={local_tag}",
        remote=request.value("from"),
        local_tag=local_tag,
        remote_tag=request.from_tag,
        remote_target=target,
        routes=routes,
        local_cseq=0,
        remote_cseq=request.cseq,
        flow=flow,
        target_flow=target_flow,
    )


def calling_dialog(sent: OutgoingRequest, local_tag: str, response: Response, flow: Flow) -> Dialog:
    """The UAC side, from a response with a To tag to an INVITE of ours (12.1.2).

    A provisional response may leave its Contact out; the Request-URI stands in until the 2xx brings one.
    """
    routes = response.values("record-route")
    routes.reverse()
    target, target_flow = _remote_target(response, routes, flow)
    return Dialog(
        call_id=sent.call_id,
        local=sent.from_,
        remote=response.value("to"),
        local_tag=local_tag,
        remote_tag=response.to_tag,
        remote_target=target or sent.uri,
        routes=routes,
        local_cseq=sent.cseq,
        remote_cseq=-1,
        flow=flow,
        target_flow=target_flow,
    )


def destination(uri: SipUri | TelUri | None, source: Flow) -> Flow:
    """Where a request to `uri` goes; `source` is where its side last sent from.

    Names are never looked up on the call path: they lead back to the source, and so does what is no sip URI,
    or no single host's address. A connection is used again as long as it stands and leads to the same host.
    """
    if not isinstance(uri, SipUri) or uri.scheme != "sip":
        return source
    return _flow_to(uri.host, uri.port or 5060, uri.params.get("transport", "").lower(), source)


def _remote_target(message: Request | Response, routes: list[str], source: Flow) -> tuple[str, Flow]:
    """Where the Contact leads: the Request-URI, "" where it has none, and the first hop to it."""
    plain = _PLAIN_CONTACT.fullmatch(message.value("contact"))
    if plain is not None and not routes:
        target, host, port, transport = plain.groups()
        return target, _flow_to(host, int(port or 0) or 5060, (transport or "").lower(), source)
    contact = message.contact
    uri = _parsed(contact)
    target = _request_uri(contact.uri, uri) if contact is not None and uri is not None else ""
    return target, _first_hop(routes, uri, source)


def _flow_to(host: str, port: int, transport: str, source: Flow) -> Flow:
    """`transport` is in lower case, "" where none is given."""
    if host != source.host:
        host = _address(host)
        if not host:
            return source
    if not transport:
        transport = source.transport if host == source.host and port == source.port else "udp"
    if transport == source.transport and host == source.host:
        if port == source.port:
            return source
        return Flow(transport, host, port, source.local, source.trunk)
    if transport not in ("udp", "tcp"):
        return source
    return Flow(transport, host, port, 0, source.trunk)


def _first_hop(routes: list[str], target: SipUri | TelUri | None, source: Flow) -> Flow:
    """The topmost Route decides, else the remote target (RFC 3261 8.1.2); None for a target without Contact."""
    return destination(_uri_of(routes[0]) if routes else target, source)


def _address(host: str) -> str:
    """`host` as sources are written, "" where it is a name, or an address of none or of many."""
    if ":" not in host:
        return host if _IPV4.fullmatch(host) is not None else ""
    try:
        address = IPv6Address(host)
    except ValueError:
        return ""
    return "" if address.is_multicast or address.is_unspecified else str(address)


def _request_uri(text: str, uri: SipUri | TelUri) -> str:
    """A Contact or Route URI as Request-URI: without the headers it may carry (19.1.1)."""
    if "?" in text and isinstance(uri, SipUri) and uri.headers:
        uri.headers = ""
        return str(uri)
    return text


def _parsed(contact: NameAddr | None) -> SipUri | TelUri | None:
    """The URI of a Contact, None where it is none that a request could be sent to."""
    if contact is None:
        return None
    try:
        return parse_uri(contact.uri)
    except MalformedUri:
        return None


def _uri_of(route: str) -> SipUri | TelUri | None:
    try:
        return parse_uri(NameAddr.parse(route).uri)
    except (MalformedUri, MalformedHeader):
        return None


def _is_loose(route: str) -> bool:
    uri = _uri_of(route)
    return not isinstance(uri, SipUri) or "lr" in uri.params

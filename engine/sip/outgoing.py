"""Requests that the engine makes: what stays the same on each sending, and how it becomes bytes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class OutgoingRequest:
    """A request but for its Via, which its transaction adds (RFC 3261 8.1.1.7).

    `from_`, `to` and `routes` are header values ready for the wire; `headers` are whole lines, each with its
    CRLF, without those that have a field here and without Content-Length.
    """

    method: str
    uri: str
    from_: str
    to: str
    call_id: str
    cseq: int
    max_forwards: int = 70
    routes: str = ""  # "Route: …\r\n" lines
    headers: str = ""
    body: str = ""

    def render(self, via: str) -> bytes:
        """The request as bytes, with `via` as its one Via value."""
        method = self.method
        body = self.body
        length = len(body) if body.isascii() else octets(body)
        return (
            f"{method} {self.uri} SIP/2.0\r\n"
            f"Via: {via}\r\n"
            f"{self.routes}"
            f"Max-Forwards: {self.max_forwards}\r\n"
            f"From: {self.from_}\r\n"
            f"To: {self.to}\r\n"
            f"Call-ID: {self.call_id}\r\n"
            f"CSeq: {self.cseq} {method}\r\n"
            f"{self.headers}"
            f"Content-Length: {length}\r\n\r\n{body}"
        ).encode("utf-8", "surrogateescape")

    def accompanying(self, method: str, to: str, headers: str = "") -> OutgoingRequest:
        """The CANCEL (9.1) or the ACK to a non-2xx (17.1.1.3) of this INVITE: same Request-URI, From, Call-ID,
        CSeq number and Route; nothing else of it."""
        return OutgoingRequest(
            method, self.uri, self.from_, to, self.call_id, self.cseq, routes=self.routes, headers=headers
        )


def octets(body: str) -> int:
    """How long a body is on the wire."""
    return len(body.encode("utf-8", "surrogateescape"))

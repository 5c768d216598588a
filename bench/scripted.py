"""Both ends of a call as text: what SIPp's scenarios of the bench send, made here without SIPp."""

from __future__ import annotations

from bench.bindings import Row

SESSION = (
    "v=0\r\no=caller 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=audio 20000 RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\n"
    "a=ptime:20\r\na=sendrecv\r\n"
)


class Party:
    """A caller at `caller` and a callee at `callee` with `server` between them; all are host:port."""

    def __init__(self, server: str, caller: str, callee: str) -> None:
        self._server = server
        self._caller = caller
        self._callee = callee

    def invite(self, number: int, row: Row) -> bytes:
        """The caller's INVITE; `number` tells calls apart."""
        return (
            f"INVITE sip:{row.x}@{self._server} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {self._caller};branch=z9hG4bKinvite{number}\r\n"
            f"From: <sip:{row.a}@{self._caller}>;tag={number}\r\n"
            f"To: <sip:{row.x}@{self._server}>\r\n"
            f"Call-ID: {number}@{self._caller}\r\nCSeq: 1 INVITE\r\n"
            f"Contact: <sip:{row.a}@{self._caller}>\r\nMax-Forwards: 70\r\n"
            f"Content-Type: application/sdp\r\nContent-Length: {len(SESSION)}\r\n\r\n{SESSION}"
        ).encode()

    def ringing(self, invite: bytes) -> bytes:
        """The callee's 180."""
        return f"SIP/2.0 180 Ringing\r\n{self._answered(invite)}Content-Length: 0\r\n\r\n".encode()

    def answer(self, invite: bytes) -> bytes:
        """The callee's 200 with its session."""
        return (
            f"SIP/2.0 200 OK\r\n{self._answered(invite)}Content-Type: application/sdp\r\n"
            f"Content-Length: {len(SESSION)}\r\n\r\n{SESSION}"
        ).encode()

    def ack(self, answer: bytes) -> bytes:
        """The caller's ACK to the 200 that it got."""
        return self._within(answer, "ACK", 1)

    def bye(self, answer: bytes) -> bytes:
        """The caller's BYE; `answer` is the 200 to its INVITE."""
        return self._within(answer, "BYE", 2)

    def bye_answer(self, bye: bytes) -> bytes:
        """The callee's 200 to the BYE that it got."""
        return f"SIP/2.0 200 OK\r\n{self._copied(bye, '')}Content-Length: 0\r\n\r\n".encode()

    def _answered(self, invite: bytes) -> str:
        return f"{self._copied(invite, ';tag=callee')}Contact: <sip:{self._callee}>\r\n"

    def _copied(self, request: bytes, tag: str) -> str:
        fields = _fields(request)
        return "".join(
            [
                *(f"Via: {via}\r\n" for via in fields["via"]),
                f"From: {fields['from'][0]}\r\nTo: {fields['to'][0]}{tag}\r\n",
                f"Call-ID: {fields['call-id'][0]}\r\nCSeq: {fields['cseq'][0]}\r\n",
            ]
        )

    def _within(self, answer: bytes, method: str, cseq: int) -> bytes:
        fields = _fields(answer)
        number = fields["call-id"][0].partition("@")[0]
        target = fields["contact"][0].strip("<>")
        return (
            f"{method} {target} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {self._caller};branch=z9hG4bK{method.lower()}{number}\r\n"
            f"From: {fields['from'][0]}\r\nTo: {fields['to'][0]}\r\n"
            f"Call-ID: {fields['call-id'][0]}\r\nCSeq: {cseq} {method}\r\nMax-Forwards: 70\r\n"
            "Content-Length: 0\r\n\r\n"
        ).encode()


def _fields(message: bytes) -> dict[str, list[str]]:
    fields: dict[str, list[str]] = {}
    for line in message.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]:
        name, _, value = line.partition(":")
        fields.setdefault(name.strip().lower(), []).append(value.strip())
    return fields

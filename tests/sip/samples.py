"""Messages and Hypothesis strategies that the tests of this room share."""

from __future__ import annotations

import string

from hypothesis import strategies as st

TOKEN = string.ascii_letters + string.digits + "-.!%*_+`'~"
SDP = (
    "v=0\r\no=- 20 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n"
    "m=audio 30000 RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\n"
)


def request(method: str = "INVITE", body: bytes | str = b"", without: str = "", **changed: str) -> bytes:
    """A well-formed request. `changed` replaces or adds header lines: `via="v: SIP/2.0/…"`, `extra="X: y"`;
    `uri`, `version` and `start` change the start line; `without` leaves out one of the lines."""
    octets = body.encode() if isinstance(body, str) else body
    start = (
        f"{method} {changed.pop('uri', 'sip:700123456789012@192.0.2.1')} {changed.pop('version', 'SIP/2.0')}"
    )
    lines = {
        "start": start,
        "via": "Via: SIP/2.0/UDP 192.0.2.9:5062;branch=z9hG4bK77ef",
        "max_forwards": "Max-Forwards: 70",
        "from": "From: <sip:13800000001@192.0.2.9>;tag=a1",
        "to": "To: <sip:700123456789012@192.0.2.1>",
        "call_id": "Call-ID: one@192.0.2.9",
        "cseq": f"CSeq: 7 {method}",
        "length": f"Content-Length: {len(octets)}",
    }
    lines.update({name.rstrip("_"): line for name, line in changed.items()})
    lines.pop(without, None)
    return (
        "".join(f"{line}\r\n" for line in lines.values()).encode("utf-8", "surrogateescape")
        + b"\r\n"
        + octets
    )


def response(start: str = "SIP/2.0 200 OK", body: bytes = b"", without: str = "", **changed: str) -> bytes:
    """A well-formed response to an INVITE, changed like `request`."""
    return request(body=body, without=without, start=start, **changed)


tokens = st.text(TOKEN, min_size=1, max_size=12)
host_names = st.from_regex(r"([a-z][a-z0-9]{0,6}(-[a-z0-9]{1,4})?\.){0,3}[a-z]{1,8}", fullmatch=True)
ipv4 = st.ip_addresses(v=4).map(str)
ipv6 = st.ip_addresses(v=6).map(str)
hosts = host_names | ipv4 | ipv6
ports = st.integers(0, 65535)

"""Canaries: recognisable strings in every header and session line of one side, and how to find them again.

`ROWS` follows the table of what gives somebody away, row by row. In its lines `{c}` stands for the side's own
mark and `{n}` for its own real number as dialled in the country.
"""

from __future__ import annotations

ROWS: dict[str, str] = {
    "via": "Via: SIP/2.0/UDP {c}-via.example:5070;branch=z9hG4bK{c}-via;received=192.0.2.7",
    "path": "Path: <sip:{c}-path.example;lr>\nService-Route: <sip:{c}-service.example;lr>",
    "route": "Route: <sip:{c}-route@{c}-route.example;lr>",
    "identity": 'P-Asserted-Identity: "{c}" <sip:{n}@{c}-pai.example>, <tel:+86{n}>\n'
    'P-Preferred-Identity: "{c}" <sip:{n}@{c}-ppi.example>\n'
    'Remote-Party-ID: "{c}" <sip:{n}@{c}-rpid.example>;party=calling;screen=yes;privacy=off\n'
    "P-Called-Party-ID: <sip:86{n}@{c}-pcpid.example>\n"
    "P-Associated-URI: <tel:+86{n}>, <sip:{c}-pau@{c}.example>\n"
    "P-Served-User: <sip:+86{n}@{c}-psu.example>;sescase=orig",
    "diversion": 'Diversion: "{c}" <sip:{n}@{c}-div.example>;reason=unconditional;counter=1\n'
    "History-Info: <sip:{n}@{c}-hi.example?Reason=SIP%3Bcause%3D302%3Btext%3D%22{c}%22>;index=1\n"
    'Referred-By: <sip:{n}@{c}-rb.example>;cid="{c}@x"\n'
    "Refer-To: <sip:{n}@{c}-rt.example?Replaces={c}%40x>\n"
    "Replaces: {c}-replaces@x;to-tag={c};from-tag={c}\n"
    "Target-Dialog: {c}-target@x;local-tag={c};remote-tag={c}\n"
    "Join: {c}-join@x;to-tag={c};from-tag={c}",
    "passport": "Identity: {c}.eyJvcmlnIjp7InRuIjoi{n}In19.{c};info=<https://{c}.example/cert>;alg=ES256\n"
    "Identity-Info: <https://{c}.example/cert>;alg=rsa-sha1",
    "names": "Reply-To: <sip:{n}@{c}-reply.example>\n"
    "Organization: {c} Organisation {n}\n"
    "Subject: {c} subject +86{n}\n"
    "Call-Info: <http://{c}.example/photo.jpg>;purpose=icon\n"
    "Alert-Info: <http://{c}.example/ring.wav>\n"
    "Error-Info: <sip:{c}-announcement@{c}.example>\n"
    "In-Reply-To: {c}-70710@{c}.example\n"
    "User-Agent: {c}-agent/{n}\n"
    "Server: {c}-server/{n}\n"
    'Warning: 399 {c}.example "{c} 86{n}"\n'
    "Date: Sat, 13 Nov 2010 23:29:00 GMT\n"
    "Priority: {c}-priority",
    "network": "P-Access-Network-Info: 3GPP-E-UTRAN-FDD;utran-cell-id-3gpp={c}\n"
    "P-Charging-Vector: icid-value={c};icid-generated-at={c}.example;orig-ioi={c}\n"
    "P-Charging-Function-Addresses: ccf={c}.example\n"
    "P-Visited-Network-ID: {c}-visited\n"
    "Cellular-Network-Info: 3GPP-UTRAN-FDD;utran-cell-id-3gpp={c}\n"
    "Geolocation: <cid:{c}@{c}.example>\n"
    "Geolocation-Routing: yes\n"
    "User-to-User: 56{c}{n};encoding=hex\n"
    "Session-ID: ab30317f1a784dc48ff824d0d3715d86;remote={c}\n"
    "X-Number: {n};{c}\n"
    "P-Nobody-Knows: {c} {n}",
    "credentials": 'Authorization: Digest username="{c}",realm="{c}.example",nonce="{c}",uri="sip:{n}"\n'
    'Proxy-Authorization: Digest username="{n}",realm="{c}.example",nonce="{c}"\n'
    'WWW-Authenticate: Digest realm="{c}.example",nonce="{c}"\n'
    'Proxy-Authenticate: Digest realm="{c}-proxy.example",nonce="{c}"\n'
    'Authentication-Info: nextnonce="{c}"',
    "abilities": "Supported: 100rel, timer, replaces, {c}-ext\n"
    "Allow: INVITE, ACK, BYE, CANCEL, UPDATE, REFER, {c}-METHOD\n"
    "Accept: application/sdp, application/{c}\n"
    "Accept-Language: {c}\n"
    "Content-Language: {c}\n"
    "Allow-Events: {c}\n"
    'Accept-Contact: *;+g.{c}="{c}"\n'
    "Request-Disposition: {c}\n"
    "Session-Expires: 1800;refresher=uac;{c}\n"
    "Min-SE: 90;{c}\n"
    "P-Early-Media: {c}\n"
    "Privacy: id;header;user;session;critical\n"
    "Resource-Priority: {c}.1\n"
    "Feature-Caps: *;+{c}",
    "reason": 'Reason: SIP;cause=200;text="{c} {n}", Preemption;cause=1;text="{c}"',
}

# What the engine may put into a message at all: default deny, by name.
ENGINE_HEADERS = frozenset(
    (
        *("via", "from", "to", "call-id", "cseq", "max-forwards", "contact", "route", "record-route"),
        *("allow", "accept", "content-type", "content-length", "reason", "retry-after"),
        *("timestamp", "unsupported", "accept-encoding", "supported", "require", "session-expires", "min-se"),
        *("rseq", "rack", "p-early-media"),
    )
)

_SESSION_CANARIES = (
    "i={c} 86{n}\r\nu=http://{c}.example/{n}\r\ne={c}@{c}.example\r\np=+86{n}\r\n",
    "k=clear:{c}\r\na=tool:{c}\r\na=ice-lite\r\na=x-{c}:{n}\r\na=charset:{c}\r\na={c}\r\n",
    "i={c} {n}\r\nk=prompt\r\na=ssrc:4711 cname:{c}@{c}.example\r\na=ssrc:4711 msid:{c} {c}\r\n"
    "a=cname:{c}\r\na=ice-ufrag:{c}\r\na=ice-pwd:{c}\r\na=rtcp:4001 IN IP4 {c}-rtcp.example\r\n"
    "a=candidate:1 1 UDP 2130706431 {c}-candidate.example 4000 typ host\r\na=label:{c}\r\n"
    "a=remote-candidates:1 {c}.example 4000\r\na=fmtp:101 {c}@{c}.example\r\na=mid:{c}@{n}\r\n"
    "a=extmap:1 http://{c}.example/ext\r\na=identity:{c}\r\na=msid:{c}\r\n",
)


class Canaries:
    """Of one side. `rows` limits the headers to some rows of the table."""

    def __init__(self, name: str, number: str, address: str, rows: tuple[str, ...] | None = None) -> None:
        self.mark = f"canary-{name}"
        self.number = number
        self.address = address
        lines: list[str] = []
        for row, text in ROWS.items():
            if rows is None or row in rows:
                lines += self.fill(text).split("\n")
        self._lines = [(line.partition(":")[0], f"\r\n{line}") for line in lines]
        self._via = self.fill(f"\r\n{ROWS['via']}").encode()
        significant = number.removeprefix("0")
        self._traces = [trace.encode() for trace in (self.mark, significant, address)]
        self._planted: dict[bytes, bytes] = {}

    def fill(self, text: str) -> str:
        return text.replace("{c}", self.mark).replace("{n}", self.number)

    def plant(self, data: bytes) -> bytes:
        """The message with this side's canaries in its headers and its reason phrase. The same for the same
        message, so that repeats stay repeats."""
        known = self._planted.get(data)
        if known is not None:
            return known
        head, end, body = data.decode("utf-8", "surrogateescape").partition("\r\n\r\n")
        if not end:
            return data
        start, _, rest = head.partition("\r\n")
        request = not start.startswith("SIP/2.0 ")
        if not request:
            start = f"{start[:11]} {self.mark} phrase {self.number}"
        lowered = f"\r\n{rest.lower()}"
        for name, line in self._lines:
            if name in ("Via", "Route"):
                if not request:
                    continue
            elif f"\r\n{name.lower()}:" in lowered:
                continue
            rest += line
        planted = f"{start}\r\n{rest}\r\n\r\n{body}".encode("utf-8", "surrogateescape")
        self._planted[data] = planted
        return planted

    def without_vias(self, data: bytes) -> bytes:
        """An answer to a planted request as a proxy would hand it on: without the Via of the hop before."""
        if data.startswith(b"SIP/2.0 ") and self._via in data:
            return data.replace(self._via, b"", 1)
        return data

    def names(self) -> set[str]:
        """Canonical names of the headers that are planted."""
        return {name.lower() for name, _ in self._lines}

    def session(self, direction: str = "sendrecv", port: int = 4000, version: int = 1) -> str:
        """A session description with a canary in every line that must not cross. Media address and codecs are
        allowed to cross, so nothing in them gives anybody away."""
        first, second, media = (self.fill(text) for text in _SESSION_CANARIES)
        return (
            f"v=0\r\no={self.mark} {self.number} {version} IN IP4 {self.mark}.example\r\ns={self.mark}\r\n"
            f"{first}c=IN IP4 10.20.30.40\r\nb=AS:64\r\nt=0 0\r\n{second}"
            f"m=audio {port} RTP/AVP 0 8 101\r\n{media}"
            f"a=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na={direction}\r\n"
        )

    def allow(self, number: str) -> None:
        """This number may show: the flow is about showing it to somebody who must know it."""
        self._traces.remove(number.removeprefix("0").encode())

    def found_in(self, data: bytes) -> list[str]:
        """Which of this side's traces show in a message: its mark, its number in any form, its address."""
        lowered = data.lower()
        return [trace.decode() for trace in self._traces if trace in lowered]

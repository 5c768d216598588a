"""Messages as they arrived and were checked (RFC 3261 section 7). `engine.sip.message` makes them.

Header values stay raw until somebody asks; only what every message needs is read at once. Text is UTF-8;
octets that are not are kept as lone surrogates, so `text.encode("utf-8", "surrogateescape")` gives back what
came.
"""

from __future__ import annotations

from engine.sip.grammar import number_up_to
from engine.sip.headers import MalformedHeader, NameAddr, Via, first_of_list, split_list


class MalformedMessage(Exception):
    """The peer's fault.

    `kind` is one of `message.MALFORMED_KINDS`; `detail` says what and where, without header values; `status` is
    what to answer (400, 416, 505). `request` is there when an answer has somewhere to go: its `top_via` could be
    read, and it is no ACK. Other fields may be missing then (`value()` gives ""), repeated or malformed; its
    `fields["via"]` has only lines that parse.
    """

    def __init__(self, kind: str, detail: str, status: int = 400, request: Request | None = None) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = detail
        self.status = status
        self.request = request


class Message:
    """What requests and responses have in common.

    `fields`: canonical lower-case full name → raw values in order, unfolded, outer white space stripped,
    comma lists not split. `cseq_method` is as written; `from_tag` and `to_tag` are "" when absent.
    """

    __slots__ = (
        "_contact",
        "body",
        "call_id",
        "cseq",
        "cseq_method",
        "fields",
        "from_tag",
        "to_tag",
        "top_via",
    )

    fields: dict[str, list[str]]
    body: bytes
    top_via: Via
    call_id: str
    cseq: int
    cseq_method: str
    from_tag: str
    to_tag: str
    _contact: NameAddr | None  # None also where nobody has looked yet

    def value(self, name: str) -> str:
        """First raw value of the header with this canonical name, "" when absent."""
        values = self.fields.get(name)
        return values[0] if values is not None else ""

    def values(self, name: str) -> list[str]:
        """Every element of a comma-separated header, over all its lines."""
        values = self.fields.get(name)
        if values is None:
            return []
        elements: list[str] = []
        for value in values:
            elements += split_list(value)
        return elements

    @property
    def from_(self) -> NameAddr:
        """Of a checked message this never raises; of `MalformedMessage.request` it may raise
        MalformedHeader."""
        return NameAddr.parse(self.value("from"))

    @property
    def to(self) -> NameAddr:
        """Of a checked message this never raises; of `MalformedMessage.request` it may raise
        MalformedHeader."""
        return NameAddr.parse(self.value("to"))

    @property
    def contact(self) -> NameAddr | None:
        """The first Contact; None when there is none, it is "*", or (in responses only) it is malformed."""
        if self._contact is None and "contact" in self.fields:
            element = first_of_list(self.fields["contact"][0])
            if element and element != "*":
                try:
                    self._contact = NameAddr.parse(element)
                except MalformedHeader:
                    return None
        return self._contact

    @property
    def max_forwards(self) -> int | None:
        """0 to 255, None when absent (or, in responses, no number)."""
        values = self.fields.get("max-forwards")
        if values is None:
            return None
        number = number_up_to(values[0], 255)
        return number if number >= 0 else None

    @property
    def content_type(self) -> str:
        """`type/subtype` in lower case without parameters, "" when absent."""
        value = self.value("content-type")
        if value == "application/sdp":
            return value
        kind = value.partition(";")[0]
        return kind.replace(" ", "").replace("\t", "").lower()


class Request(Message):
    """`uri` is the raw Request-URI; it has been checked to be a URI."""

    __slots__ = ("method", "uri")

    def __init__(
        self,
        method: str,
        uri: str,
        fields: dict[str, list[str]],
        body: bytes,
        top_via: Via,
        call_id: str = "",
        cseq: int = 0,
        cseq_method: str = "",
        from_tag: str = "",
        to_tag: str = "",
        contact: NameAddr | None = None,
    ) -> None:
        self.method = method
        self.uri = uri
        self.fields = fields
        self.body = body
        self.top_via = top_via
        self.call_id = call_id
        self.cseq = cseq
        self.cseq_method = cseq_method
        self.from_tag = from_tag
        self.to_tag = to_tag
        self._contact = contact


class Response(Message):
    """`status` is 100 to 699; `phrase` may be empty."""

    __slots__ = ("phrase", "status")

    def __init__(
        self,
        status: int,
        phrase: str,
        fields: dict[str, list[str]],
        body: bytes,
        top_via: Via,
        call_id: str = "",
        cseq: int = 0,
        cseq_method: str = "",
        from_tag: str = "",
        to_tag: str = "",
        contact: NameAddr | None = None,
    ) -> None:
        self.status = status
        self.phrase = phrase
        self.fields = fields
        self.body = body
        self.top_via = top_via
        self.call_id = call_id
        self.cseq = cseq
        self.cseq_method = cseq_method
        self.from_tag = from_tag
        self.to_tag = to_tag
        self._contact = contact

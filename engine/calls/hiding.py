"""The only place where anything crosses from one leg to the other.

What a message carries over is a Crossing: a few values, each read, checked and kept on purpose. (INFO carries a body of
its own kind, `info_of`.) A leg builds its
own message from a Crossing and from its own state. What has no field here does not cross, whatever it is called.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from engine.calls.capabilities import CROSSING_OPTIONS, methods, required, supported
from engine.numbering.numbers import RealNumber, parse_real
from engine.sip.headers import MalformedHeader, NameAddr
from engine.sip.info_body import INFO_TYPES, masked_info
from engine.sip.message import Message, Request, Response
from engine.sip.multipart import MalformedMultipart, only_part
from engine.sip.sdp import MalformedSdp, masked_session
from engine.sip.uri import MalformedUri, SipUri, parse_uri

SESSION_TYPE: Final = "application/sdp"
DEFAULT_MAX_FORWARDS: Final = 70  # RFC 3261 16.6

# A parameter before the cause may be a quoted text, which may say anything.
_Q850: Final = re.compile(
    r'Q\.850[ \t]*(?:;(?![ \t]*cause[ \t]*=)(?:[^";]|"(?:[^"\\]|\\.)*")*)*'
    r";[ \t]*cause[ \t]*=[ \t]*(\d{1,3})(?!\d)",
    re.IGNORECASE,
)
# Nearly every number arrives so; nothing in it can be escaped.
_PLAIN_USER: Final = re.compile(r"sip:(\+?[0-9]{1,20})@[A-Za-z0-9\[]")
_DELTA: Final = re.compile(r"([0-9]{1,10})")
_EARLY_MEDIA: Final = frozenset(("sendrecv", "sendonly", "recvonly", "inactive", "gated", "supported"))
_SECONDS: Final = re.compile(r"\s*(\d{1,6})(?!\d)")


@dataclass(slots=True, frozen=True)
class Abilities:
    """What a message says about its sender, as far as the engine carries it through.

    supported      bits of `capabilities` from Supported that concern both legs
    required       the same from Require
    methods        bits of `capabilities` from Allow
    early_media    words of P-Early-Media (RFC 5009), "" for none; for trusting trunks only
    """

    supported: int = 0
    required: int = 0
    methods: int = 0
    early_media: str = ""


NO_ABILITIES: Final = Abilities()


@dataclass(slots=True)
class Crossing:
    """All that one leg's message may tell the other leg.

    session        the masked session description without v=, o= and s=, "" for none
    cause          Q.850 cause of a Reason header, 0 for none (RFC 3326)
    retry_after    seconds, 0 for none
    max_forwards   of a request, already lowered by one
    abilities      of the sender
    """

    session: str = ""
    cause: int = 0
    retry_after: int = 0
    max_forwards: int = DEFAULT_MAX_FORWARDS
    abilities: Abilities = NO_ABILITIES


class Unacceptable(Exception):
    """A body that cannot cross. `status` answers a request that brought it; `headers` go with the answer."""

    def __init__(self, status: int, headers: str = "") -> None:
        super().__init__(str(status))
        self.status = status
        self.headers = headers


def crossing_of(message: Message) -> Crossing:
    """What crosses of a request or response. Raises Unacceptable for a body that must not be ignored, and for an
    INVITE that would not take an answer."""
    fields = message.fields
    crossing = Crossing()
    if "accept" in fields and not _takes_sessions(message):
        raise Unacceptable(406)
    if message.body:
        crossing.session = _session(message)
    if "allow" in fields or "supported" in fields or "require" in fields or "p-early-media" in fields:
        crossing.abilities = _abilities(message)
    if "reason" in fields:
        crossing.cause = cause_of(message)
    if "retry-after" in fields:
        seconds = _SECONDS.match(message.value("retry-after"))
        crossing.retry_after = int(seconds[1]) if seconds is not None else 0
    hops = message.max_forwards
    if hops is not None:
        crossing.max_forwards = max(0, hops - 1)
    return crossing


def for_strangers(crossing: Crossing) -> Crossing:
    """The same between trunks that do not both trust: P-Early-Media stays behind (RFC 5009 section 8)."""
    known = crossing.abilities
    if known.early_media:
        crossing.abilities = Abilities(known.supported, known.required, known.methods)
    return crossing


def info_of(request: Request) -> tuple[str, str]:
    """Content type and body of an INFO as they may cross, ("", "") for an empty one. Raises Unacceptable."""
    if not request.body:
        return "", ""
    kind = request.content_type
    encoded = request.value("content-encoding") not in ("", "identity")
    body = None if encoded else masked_info(kind, request.body.decode("utf-8", "surrogateescape"))
    if body is None:
        raise Unacceptable(415, f"Accept: {INFO_TYPES}\r\n")
    return kind, body


def cause_of(message: Message) -> int:
    """The Q.850 cause of a message's Reason header; 0 for none. Its text and other protocols stay behind."""
    for value in message.values("reason"):
        found = _Q850.match(value)
        if found is not None:
            cause = int(found[1])
            return cause if 1 <= cause <= 127 else 0
    return 0


def caller_identity(request: Request, trusted: bool) -> RealNumber | None:
    """Who calls, as far as the trunk vouches for it: P-Asserted-Identity, else From (RFC 3325 9.1). None for a
    trunk that is not trusted, and for what is no real number."""
    if not trusted:
        return None
    asserted = request.values("p-asserted-identity")
    if not asserted:
        return _number_of(request.from_.uri)
    # One sip and one tel URI may stand there (RFC 3325 9.1); the first that is a number counts.
    for value in asserted:
        try:
            number = _number_of(NameAddr.parse(value).uri)
        except MalformedHeader:
            continue
        if number is not None:
            return number
    return None


def validity(request: Request) -> int | None:
    """For how many seconds an INVITE is valid by its Expires header (RFC 3261 20.19); None for none that can be
    read."""
    seconds = _DELTA.fullmatch(request.value("expires"))
    return int(seconds[1]) if seconds is not None else None


def dialled_text(request: Request) -> str:
    """The user part or telephone number of the Request-URI, "" for none."""
    return _user(request.uri)


def _takes_sessions(message: Message) -> bool:
    """False for an INVITE whose Accept leaves out session descriptions (RFC 3261 20.1, 21.4.7)."""
    if (
        message.value("accept") == SESSION_TYPE
        or message.cseq_method != "INVITE"
        or isinstance(message, Response)
    ):
        return True
    ranges = [value.partition(";")[0].strip().lower() for value in message.values("accept")]
    return any(one in (SESSION_TYPE, "application/*", "*/*") for one in ranges)


def _abilities(message: Message) -> Abilities:
    early_media = ""
    if "p-early-media" in message.fields:
        words = [word.lower() for word in message.values("p-early-media")]
        early_media = ", ".join([word for word in words if word in _EARLY_MEDIA])
    return Abilities(
        supported(message) & CROSSING_OPTIONS,
        required(message) & CROSSING_OPTIONS,
        methods(message),
        early_media,
    )


def _number_of(uri: str) -> RealNumber | None:
    return parse_real(_user(uri))


def _user(uri: str) -> str:
    plain = _PLAIN_USER.match(uri)
    if plain is not None:
        return plain[1]
    try:
        parsed = parse_uri(uri)
    except MalformedUri:
        return ""
    if isinstance(parsed, SipUri):
        return parsed.user
    context = parsed.params.get("phone-context")
    return f"{parsed.number};phone-context={context}" if context else parsed.number


def _session(message: Message) -> str:
    kind = message.content_type
    if kind.startswith("multipart/"):
        try:
            part = only_part(message.value("content-type"), message.body, SESSION_TYPE)
        except MalformedMultipart:
            raise Unacceptable(400) from None
        if part is None:
            return ""
        body = part
    elif kind == SESSION_TYPE:
        body = message.body
    elif "handling=optional" in message.value("content-disposition").lower().replace(" ", ""):
        return ""
    else:
        raise Unacceptable(415, f"Accept: {SESSION_TYPE}\r\n")
    if message.value("content-encoding") not in ("", "identity"):
        raise Unacceptable(415, "Accept-Encoding: identity\r\n")
    try:
        return masked_session(body.decode("utf-8", "surrogateescape"))
    except MalformedSdp:
        raise Unacceptable(400) from None

"""Digest credentials in requests of ours (RFC 3261 section 22, RFC 7616, RFC 8760).

Of several challenges the strongest that is spoken here is answered; RFC 8760 section 2.4 has the far end put them in
the order that it prefers, so the first of equals counts.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Final

from engine.sip.grammar import QUOTED_STRING, TOKEN_CHARS
from engine.sip.message import Response

# By strength. "-sess" variants bind the key to a nonce and are spoken by nobody on a trunk.
_ALGORITHMS: Final = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}
_STRENGTH: Final = ("MD5", "SHA-256", "SHA-512-256")

_PARAM: Final = re.compile(
    rf"\s*+([{TOKEN_CHARS}]++)\s*+=\s*+(?:({QUOTED_STRING})|([{TOKEN_CHARS}]++))\s*+(?:,|\Z)"
)
_QUOTED_PAIR: Final = re.compile(r"\\(.)", re.DOTALL)
_LONGEST: Final = 2048  # characters of a challenge that is looked at


@dataclass(slots=True, frozen=True)
class Credentials:
    """What the engine is known by on a trunk."""

    username: str
    password: str

    def __repr__(self) -> str:
        return f"Credentials({self.username!r})"  # never the password, in no log and no traceback


@dataclass(slots=True, frozen=True)
class Challenge:
    """One Digest challenge. `proxy`: of a 407; `qop`: it wants quality of protection "auth"; `stale`: the nonce was too
    old, the credentials were right."""

    proxy: bool
    realm: str
    nonce: str
    opaque: str
    algorithm: str
    qop: bool
    stale: bool


def challenge_of(response: Response) -> Challenge | None:
    """The challenge of a 401 or 407 that can be answered best; None for none."""
    proxy = response.status == 407
    best: Challenge | None = None
    for value in response.fields.get("proxy-authenticate" if proxy else "www-authenticate", []):
        challenge = _challenge(value, proxy)
        if challenge is not None and (
            best is None or _STRENGTH.index(challenge.algorithm) > _STRENGTH.index(best.algorithm)
        ):
            best = challenge
    return best


class Authorizer:
    """Answers one challenge in any number of requests; the nonce count rises with each (RFC 7616 3.4)."""

    __slots__ = ("_challenge", "_cnonce", "_count", "_credentials")

    def __init__(self, challenge: Challenge, credentials: Credentials, cnonce: str) -> None:
        self._challenge = challenge
        self._credentials = credentials
        self._cnonce = cnonce
        self._count = 0

    @property
    def nonce(self) -> str:
        """Of the challenge that it answers."""
        return self._challenge.nonce

    def line(self, method: str, uri: str) -> str:
        """The Authorization or Proxy-Authorization line of a request, with its CRLF."""
        challenge, credentials = self._challenge, self._credentials
        self._count += 1
        count = f"{self._count:08x}"
        key = _hash(challenge, f"{credentials.username}:{challenge.realm}:{credentials.password}")
        what = _hash(challenge, f"{method}:{uri}")
        if challenge.qop:
            answer = _hash(challenge, f"{key}:{challenge.nonce}:{count}:{self._cnonce}:auth:{what}")
            more = f', qop=auth, nc={count}, cnonce="{self._cnonce}"'
        else:
            answer = _hash(challenge, f"{key}:{challenge.nonce}:{what}")
            more = ""
        if challenge.opaque:
            more += f", opaque={_quoted(challenge.opaque)}"
        name = "Proxy-Authorization" if challenge.proxy else "Authorization"
        return (
            f"{name}: Digest username={_quoted(credentials.username)}, realm={_quoted(challenge.realm)}, "
            f"nonce={_quoted(challenge.nonce)}, uri={_quoted(uri)}, "
            f'response="{answer}", algorithm={challenge.algorithm}{more}\r\n'
        )


def _challenge(value: str, proxy: bool) -> Challenge | None:
    scheme, _, rest = value.strip().partition(" ")
    if scheme.lower() != "digest" or len(value) > _LONGEST:
        return None
    params: dict[str, str] = {}
    place = 0
    while place < len(rest):
        match = _PARAM.match(rest, place)
        if match is None:
            return None
        quoted, plain = match[2], match[3]
        params.setdefault(
            match[1].lower(), plain if quoted is None else _QUOTED_PAIR.sub(r"\1", quoted[1:-1])
        )
        place = match.end()
    algorithm = params.get("algorithm", "MD5").upper()
    qop = [word.strip().lower() for word in params.get("qop", "").split(",") if word.strip()]
    if (
        not params.get("nonce")
        or "realm" not in params
        or algorithm not in _ALGORITHMS
        or (qop and "auth" not in qop)
    ):
        return None
    return Challenge(
        proxy, params["realm"], params["nonce"], params.get("opaque", ""), algorithm, bool(qop),
        params.get("stale", "").lower() == "true",
    )  # fmt: skip


def _hash(challenge: Challenge, text: str) -> str:
    return hashlib.new(
        _ALGORITHMS[challenge.algorithm], text.encode("utf-8", "surrogateescape"), usedforsecurity=False
    ).hexdigest()


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

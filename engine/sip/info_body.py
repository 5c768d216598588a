"""What of an INFO's body may reach the other leg: key presses and the request for a whole picture, built anew.

INFO carries anything (RFC 6086 section 1), so nothing of it is passed as it came: it is read as one of the few
bodies that telephones send, and that one is written again.
"""

from __future__ import annotations

import re
from typing import Final

INFO_TYPES: Final = "application/dtmf, application/dtmf-relay, application/media_control+xml"

_KEY: Final = r"[0-9A-Da-d*#]|1[0-6]"
_DTMF: Final = re.compile(rf"\s*+({_KEY})\s*+")
_RELAY: Final = re.compile(
    rf"\s*+Signal[ \t]*+=[ \t]*+({_KEY})[ \t]*+(?:\r?\n[ \t]*+Duration[ \t]*+=[ \t]*+([0-9]{{1,5}})[ \t]*+)?\s*+",
    re.IGNORECASE,
)
_WHOLE_PICTURE: Final = re.compile(r"<\s*+picture_fast_update\s*+(?:/>|>)")
_MOST: Final = 2048  # characters of a body that is looked at

# RFC 5168 section 7.1, without any stream_id: whose streams those are is known to one leg only.
_WHOLE_PICTURE_BODY: Final = (
    '<?xml version="1.0" encoding="utf-8"?>\r\n<media_control><vc_primitive><to_encoder>'
    "<picture_fast_update/></to_encoder></vc_primitive></media_control>\r\n"
)


def masked_info(content_type: str, text: str) -> str | None:
    """The body as it may cross under the same `content_type` (lower case, without parameters); None when it may
    not."""
    if len(text) > _MOST:
        return None
    if content_type == "application/dtmf":
        key = _DTMF.fullmatch(text)
        return None if key is None else f"{key[1].upper()}\r\n"
    if content_type == "application/dtmf-relay":
        relay = _RELAY.fullmatch(text)
        if relay is None:
            return None
        duration = f"Duration={relay[2]}\r\n" if relay[2] else ""
        return f"Signal={relay[1].upper()}\r\n{duration}"
    if content_type == "application/media_control+xml" and _WHOLE_PICTURE.search(text) is not None:
        return _WHOLE_PICTURE_BODY
    return None

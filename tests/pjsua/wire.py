"""What a phone sent and received, message by message, from its log."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

# "2026-03-01 12:00:00.123  .RX 845 bytes Request msg INVITE/cseq=…:", the message, "--end msg--"
_MESSAGE = re.compile(
    r"^(?P<at>\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}\.\d{3})[ .]*(?P<way>RX|TX) \d+ bytes [^\n]*:\n"
    r"(?P<text>.*?)\n--end msg--",
    re.MULTILINE | re.DOTALL,
)
_MEDIA_ADDRESS = re.compile(r"^(?:c=IN |m=\w+ ).*$", re.MULTILINE)


@dataclass(slots=True, frozen=True)
class WireMessage:
    """`at`: Unix time in seconds. `sent`: by the phone. Lines of `text` end with a line feed alone."""

    at: float
    sent: bool
    text: str

    @property
    def first_line(self) -> str:
        return self.text.partition("\n")[0]

    @property
    def method(self) -> str:
        """The request's, also of a response."""
        return self.value("CSeq").partition(" ")[2].strip()

    @property
    def status(self) -> int:
        """0 for a request."""
        first = self.first_line
        return int(first.split(" ", 2)[1]) if first.startswith("SIP/2.0 ") else 0

    @property
    def call_id(self) -> str:
        return self.value("Call-ID")

    def value(self, name: str) -> str:
        """The header's value, "" for none."""
        found = re.search(rf"^{name}[ \t]*:[ \t]*(.*)$", self.text, re.MULTILINE | re.IGNORECASE)
        return found[1] if found is not None else ""

    def without_media_address(self) -> str:
        """The message without the c= and m= lines, where addresses cross while media is not anchored."""
        return _MEDIA_ADDRESS.sub("", self.text)


def unanswered(messages: Iterable[WireMessage]) -> set[tuple[str, str]]:
    """Call-ID and CSeq of what the phone asked to begin or end a call and got no final response to."""
    asked: set[tuple[str, str]] = set()
    answered: set[tuple[str, str]] = set()
    for message in messages:
        key = message.call_id, message.value("CSeq")
        begins = message.method == "INVITE" and ";tag=" not in message.value("To")
        if message.sent and not message.status and (begins or message.method == "BYE"):
            asked.add(key)
        elif not message.sent and message.status >= 200:
            answered.add(key)
    return asked - answered


def messages_of(log: Path) -> list[WireMessage]:
    """All whole messages of a phone's log, in order."""
    text = log.read_bytes().decode("utf-8", "replace").replace("\r", "")
    return [
        WireMessage(
            datetime.strptime(found["at"], "%Y-%m-%d %H:%M:%S.%f").timestamp(),  # noqa: DTZ007  local, as PJSIP
            found["way"] == "TX",
            found["text"],
        )
        for found in _MESSAGE.finditer(text)
    ]

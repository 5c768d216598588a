"""What a phone must never receive of the phone that it talks to."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tests.pjsua.phones import PhoneSettings
from tests.pjsua.wire import WireMessage

_TAG = re.compile(r";tag=([^;>\s]+)")


def leaks(
    received: Iterable[WireMessage], other: PhoneSettings, sent_by_other: Iterable[WireMessage], shown: str
) -> list[str]:
    """Everything wrong with messages that a phone received: they name the other phone's number, name, device, host
    (but for media), Call-ID or tag, or From and To both lack the 700 number `shown`."""
    canaries = {other.number, other.name, other.host} | ({other.public_host} - {""})
    for message in sent_by_other:
        own = message.value("To" if message.status else "From")
        canaries.update((message.call_id, *_TAG.findall(own)))
    canaries.discard("")
    problems = []
    for message in received:
        text = message.without_media_address()
        problems += [f"{canary} in {message.text}" for canary in sorted(canaries) if canary in text]
        if message.method == "OPTIONS":
            continue
        if shown not in message.value("From") and shown not in message.value("To"):
            problems.append(f"no {shown} in {message.text}")
    return problems

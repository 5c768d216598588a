"""A traced call as plain data for a command, and that drawn as a ladder: caller, engine, callee."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Final, TypedDict

from engine.observe.masked_sip import masked_call_id, masked_message, masked_text
from engine.observe.masking import masked
from engine.observe.trace import Message, TracedCall

_CSEQ = re.compile(rb"\ncseq[ \t]*:[ \t]*(\d{1,10})[ \t]+([!-~]+)", re.IGNORECASE)
_SDP = re.compile(rb"\n(?:content-type|c)[ \t]*:[ \t]*application/sdp", re.IGNORECASE)
_UNPRINTABLE = re.compile(r"[^\t\r\n -~\u00a0-\ud7ff\ue000-\ufffc]")

_COLUMN: Final = 30  # between two lifelines
_TIME: Final = 11
_CLEAR_KEY: Final = b"\0" * 16


class MessageTold(TypedDict):
    """One message. `leg`: "a", then "b", "b2", … for each INVITE towards the callee. `direction`: "in" or "out",
    as the engine sees it. `method` stands in requests, `status` in responses. `repeated`: sent or heard before."""

    at: str
    offset_ms: float
    leg: str
    direction: str
    far: str
    method: str | None
    status: int | None
    cseq: str | None
    sdp: bool
    repeated: bool
    text: str


class CallTold(TypedDict):
    """A traced call; numbers and messages as they may be shown. `left_out`: messages there was no room for."""

    record_id: str
    model: str | None
    direction: str | None
    caller: str | None
    dialled: str | None
    shown: str | None
    callee: str | None
    disposition: str | None
    reason: str | None
    call_ids: list[str]
    messages: list[MessageTold]
    left_out: int


def told(call: TracedCall, key: bytes | None) -> CallTold:
    """Everything that is known of it. `key` as `masked_message` takes it; None: in clear."""
    record = call.record
    show: Callable[[str], str] = masked if key is not None else str
    begun = call.messages[0].at if call.messages else 0
    return {
        "record_id": record.record_id,
        "model": record.model,
        "direction": record.direction,
        "caller": _shown(record.caller, show),
        "dialled": _shown(record.dialled, show),
        "shown": _shown(record.shown, show),
        "callee": _shown(record.callee, show),
        "disposition": record.disposition,
        "reason": record.reason,
        "call_ids": [_printable(one if key is None else masked_call_id(one, key)) for one in call.call_ids],
        "messages": [_told(message, begun, key) for message in call.messages],
        "left_out": call.left_out,
    }


def draw(call: CallTold) -> Iterator[str]:
    """Line by line. Times are seconds since the first message."""
    caller, dialled = call["caller"] or "-", call["dialled"] or "-"
    numbers = f"{caller} -> {dialled} => {call['shown'] or '-'} -> {call['callee'] or '-'}"
    outcome = f"{call['disposition']}, {call['reason']}" if call["disposition"] else "still up"
    yield f"{call['record_id']}  {call['model'] or '-'} {call['direction'] or ''}  {numbers}  {outcome}"
    messages = call["messages"]
    if not messages:
        yield "no message of it was kept"
        return
    yield f"{messages[0]['at']} is 0"
    yield ""
    yield _names(messages)
    callee_now = ""
    for message in messages:
        leg = message["leg"]
        label = _label(message)
        towards = message["direction"]
        if leg == "a":
            arrow = _arrow(label, towards == "in")
            line = f"|{arrow}|{' ' * (_COLUMN - 1)}|"
        else:
            arrow = _arrow(label, towards == "out")
            line = f"|{' ' * (_COLUMN - 1)}|{arrow}|"
            if leg != callee_now:
                if callee_now:
                    line += f"  {leg}: {message['far']}"
                callee_now = leg
            elif leg != "b":
                line += f"  {leg}"
        yield f"{message['offset_ms'] / 1000:{_TIME - 2}.3f}  {line}"
    if call["left_out"]:
        yield f"{'':{_TIME}}{call['left_out']} more were left out (trace.messages_per_call, trace.megabytes)"


# --- to plain data ---


def _told(message: Message, begun: int, key: bytes | None) -> MessageTold:
    data = message.data
    first, _, rest = data.partition(b" ")
    status = int(rest[:3]) if first == b"SIP/2.0" and rest[:3].isdigit() else None
    cseq = _CSEQ.search(data)
    shown = data if key is None else masked_message(data, key)
    return {
        "at": datetime.fromtimestamp(message.at / 1_000_000, UTC).isoformat(timespec="microseconds"),
        "offset_ms": (message.at - begun) / 1000,
        "leg": ("a", "b")[message.leg] if message.leg < 2 else f"b{message.leg}",
        "direction": "in" if message.incoming else "out",
        "far": message.far,
        "method": None if status is not None else masked_text(_printable(first.decode("ascii", "replace"))),
        "status": status,
        "cseq": f"{cseq[1].decode()} {cseq[2].decode()}" if cseq is not None else None,
        "sdp": _SDP.search(data) is not None,
        "repeated": message.again,
        "text": _printable(shown.decode("utf-8", "replace")),
    }


def _shown(number: str | None, show: Callable[[str], str]) -> str | None:
    return None if number is None else show(number)


def _printable(text: str) -> str:
    """Nothing that a terminal would take for a command."""
    return _UNPRINTABLE.sub("\ufffd", text)


# --- to lines ---


def _names(messages: list[MessageTold]) -> str:
    caller = next((one["far"] for one in messages if one["leg"] == "a"), "")
    callee = next((one["far"] for one in messages if one["leg"] != "a"), "")
    middle, right = _TIME + _COLUMN, _TIME + 2 * _COLUMN
    names = f"{'':{_TIME - 6}}caller".ljust(middle - 3) + "mask700".ljust(right - middle) + "callee"
    ends = f"{'':{_TIME - 6}}{caller}".ljust(right - 3 - len(callee) // 2) + callee
    return f"{names}\n{ends.rstrip()}"


def _label(message: MessageTold) -> str:
    cseq = message["cseq"] or ""
    if message["status"] is not None:
        text = f"{message['status']} ({cseq})"
    else:
        text = f"{message['method']} ({cseq.partition(' ')[0]})"
    return f"{text}{' sdp' if message['sdp'] else ''}{' again' if message['repeated'] else ''}"


def _arrow(label: str, rightwards: bool) -> str:
    width = _COLUMN - 1
    body = f" {label[: width - 4]} ".center(width - 1, "-")
    return f"{body}>" if rightwards else f"<{body}"

"""Whether both phones and the engine's record tell the same of every call.

A phone's wire says when its call was answered and ended, and who ended it. Copies that the network lost move the
views of both ends apart: a duration may differ by a second beyond the time that passed between the first copy of
an answer or BYE and the one that arrived.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.pjsua.phones import CallView
from tests.pjsua.random_calls import PhoneSeen, RandomRun
from tests.pjsua.wire import WireMessage

_APART_S = 1.0
_REASONS = {486: "callee_busy", 603: "callee_rejected", 480: "callee_unreachable"}


@dataclass(slots=True)
class Copies:
    """When each copy of one message was sent, and when the first one arrived; `arrived` is 0 when that is not
    known."""

    sent: list[float] = field(default_factory=list)
    arrived: float = 0.0

    def lateness(self) -> float:
        """Seconds between the first copy and the last one before an arrival."""
        sent = [at for at in self.sent if not self.arrived or at <= self.arrived + 0.05]
        return sent[-1] - sent[0] if sent else 0.0


@dataclass(slots=True)
class Side:
    """One phone's part of a call. Times are Unix seconds, 0 for never. `said_bye`, `heard_bye`, `cancelled`: what
    went over its wire; `final`: the status of the initial INVITE's final response."""

    view: CallView
    answered: float = 0.0
    ended: float = 0.0
    final: int = 0
    said_bye: bool = False
    heard_bye: bool = False
    cancelled: bool = False
    answers: Copies = field(default_factory=Copies)
    byes: Copies = field(default_factory=Copies)

    @property
    def gave_up(self) -> bool:
        """The user had hung up before the answer arrived: the phone hangs up again, by BYE, and shows nothing."""
        left = self.view.entered("disconnected")
        return left is not None and left <= self.answered


@dataclass(slots=True)
class Agreement:
    """`problems`: everything on which somebody disagrees. `reasons`: how many records have which. `late`: calls
    whose durations differ by more than a second, for copies that were lost; `apart_s`: the largest difference
    beyond that."""

    calls: int
    problems: list[str]
    reasons: Counter[str]
    late: int
    apart_s: float


def agreement(run: RandomRun, calls: int) -> Agreement:
    """Compare everything of a run of that many calls."""
    judge = _Judge(run)
    return judge.all(calls)


class _Judge:
    def __init__(self, run: RandomRun) -> None:
        self._run = run
        self._problems: list[str] = [f"leak: {leak}" for leak in run.leaks]
        self._late = 0
        self._apart_s = 0.0
        self._engines = _engines_copies(run.sent_by_engine)
        self._outgoing: dict[str, Side] = {}
        self._incoming: dict[str, Side] = {}
        for phone in run.phones:
            self._take(phone)

    def all(self, calls: int) -> Agreement:
        self._problems += [f"the engine still has {call}" for call in self._run.left]
        if len(self._outgoing) != calls:
            self._problems.append(f"{calls} calls were to be made, {len(self._outgoing)} were")
        told = Counter(record["a_call_id"] for record in self._run.records)
        self._problems += [f"{count} records of {call}" for call, count in told.items() if count != 1]
        self._problems += [f"no record of {call}" for call in sorted(self._outgoing.keys() - told.keys())]
        known = {record["b_call_id"] for record in self._run.records}
        self._problems += [
            f"{call} rang, and no record knows it" for call in sorted(self._incoming.keys() - known)
        ]
        for record in self._run.records:
            self._compare(record)
        return Agreement(
            calls=calls,
            problems=self._problems,
            reasons=Counter(record["reason"] for record in self._run.records),
            late=self._late,
            apart_s=self._apart_s,
        )

    def _take(self, phone: PhoneSeen) -> None:
        by_call: dict[str, list[WireMessage]] = {}
        for message in phone.wire:
            by_call.setdefault(message.call_id, []).append(message)
        for view in phone.calls:
            side = _side(view, by_call.get(view.call_id, ()))
            (self._incoming if view.incoming else self._outgoing)[view.call_id] = side
            if view.state != "disconnected":
                self._problems.append(f"{phone.number}: {view.call_id} has not ended, but is {view.state}")

    def _compare(self, record: dict[str, Any]) -> None:
        caller = self._outgoing.get(record["a_call_id"])
        if caller is None:
            self._problems.append(f"nobody made the call of {record}")
            return
        callee = self._incoming.get(record["b_call_id"] or "")
        if record["answer_time"] is not None:
            wrong = self._answered(record, caller, callee)
        else:
            wrong = self._unanswered(record, caller, callee)
        if wrong:
            self._problems.append(f"{', '.join(wrong)}: {record}, {caller}, {callee}")

    def _answered(self, record: dict[str, Any], caller: Side, callee: Side | None) -> list[str]:
        if callee is None or not caller.answered or not callee.answered:
            return ["answered, as the record says, but not for both phones"]
        wrong = []
        if caller.view.entered("confirmed") is None and not caller.gave_up:
            wrong.append("the caller's phone showed no answer")
        if (record["disposition"], record["reason"], record["q850_cause"]) != ("answered", "normal", 16):
            wrong.append("an answered call that did not end normally")
        byes = [name for name, side in (("caller", caller), ("callee", callee)) if side.said_bye]
        if record["released_by"] not in byes:
            wrong.append(f"released by {byes}")
        for name, side, other in (("caller", caller, callee), ("callee", callee, caller)):
            if side.said_bye and not (other.heard_bye or other.said_bye):
                wrong.append(f"the {name} hung up, and the other never knew")
            if self._apart(record, name, side) > _APART_S:
                wrong.append(f"the {name} talked for {side.ended - side.answered:.3f} s")
        return wrong

    def _apart(self, record: dict[str, Any], name: str, side: Side) -> float:
        """By how many seconds the phone's duration differs from the record's, without what lost copies explain."""
        answer_time, release_time = _unix(record["answer_time"]), _unix(record["release_time"])
        engines = self._engines.get(side.view.call_id, {})
        late = 0.0
        if name == "caller":
            late += Copies(engines.get("answer", []), side.answered).lateness()
        else:
            late += Copies(side.answers.sent, answer_time).lateness()
        if side.said_bye:
            late += Copies(side.byes.sent, release_time).lateness()
        else:
            late += Copies(engines.get("bye", []), side.ended).lateness()
        talk_s: float = record["talk_ms"] / 1000
        apart = abs(side.ended - side.answered - talk_s)
        if apart > _APART_S:
            self._late += 1
        beyond = max(0.0, apart - late)
        self._apart_s = max(self._apart_s, beyond)
        return beyond

    def _unanswered(self, record: dict[str, Any], caller: Side, callee: Side | None) -> list[str]:
        wrong = []
        if caller.answered or caller.view.entered("confirmed") is not None:
            wrong.append("not answered, as the record says, but for the caller")
        if caller.final != record["sip_status"]:
            wrong.append(f"the caller was told {caller.final}")
        if record["talk_ms"] not in (None, 0):
            wrong.append("talk time of a call that was not answered")
        if record["reason"] == "cancelled":
            wrong += _cancelled(record, caller, callee)
        elif callee is None or record["reason"] != _REASONS.get(callee.final):
            wrong.append("the callee did not say so")
        elif record["released_by"] != "callee":
            wrong.append("not released by the callee")
        return wrong


def _cancelled(record: dict[str, Any], caller: Side, callee: Side | None) -> list[str]:
    """The callee may have answered or refused at the same moment, and then knows that nothing came of it."""
    wrong = []
    if not caller.cancelled or caller.final != 487:
        wrong.append("the caller did not give up")
    if record["released_by"] != "caller":
        wrong.append("not released by the caller")
    if callee is not None and callee.answered and not callee.heard_bye and not callee.said_bye:
        wrong.append("the callee answered, and was left in the call")
    if callee is not None and not callee.answered and callee.final not in (487, *_REASONS):
        wrong.append("the callee was not told")
    return wrong


def _side(view: CallView, wire: Sequence[WireMessage]) -> Side:
    """What the call's messages say."""
    side = Side(view)
    outgoing = not view.incoming
    first = next((message.value("CSeq") for message in wire if message.method == "INVITE"), "")
    for message in wire:
        if message.value("CSeq") == first and message.status >= 200 and message.sent != outgoing:
            side.final = side.final or message.status
            if message.status < 300:
                side.answered = side.answered or message.at
                side.answers.sent.append(message.at)
            else:
                side.ended = side.ended or message.at
        elif message.method == "BYE" and message.status == 0:
            side.ended = side.ended or message.at
            side.said_bye |= message.sent
            side.heard_bye |= not message.sent
            if message.sent:
                side.byes.sent.append(message.at)
        elif message.method == "CANCEL" and message.status == 0:
            side.cancelled = True
    return side


def _engines_copies(sent: Iterable[tuple[float, str]]) -> dict[str, dict[str, list[float]]]:
    """By Call-ID: when the engine sent copies of a BYE ("bye") and of its first 2xx to an INVITE ("answer")."""
    copies: dict[str, dict[str, list[float]]] = {}
    first: dict[str, str] = {}
    for at, text in sent:
        message = WireMessage(at, True, text.replace("\r", ""))
        of_call = copies.setdefault(message.call_id, {})
        if message.method == "BYE" and message.status == 0:
            of_call.setdefault("bye", []).append(at)
        elif message.method == "INVITE" and 200 <= message.status < 300:
            if first.setdefault(message.call_id, message.value("CSeq")) == message.value("CSeq"):
                of_call.setdefault("answer", []).append(at)
    return copies


def _unix(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()

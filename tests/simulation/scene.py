"""A scene: an engine, a caller and one callee (or several next hops) on one wire, and what must be true of every
flow that was played in it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from engine.authorization.gate import Policy
from engine.calls.record import CallRecord
from engine.calls.settings import CallSettings
from engine.calls.switchboard import Limits
from engine.numbering.binding import Model
from engine.routing.trunks import TrunkSettings
from engine.sip.timers import TimerValues
from tests.simulation.canaries import ENGINE_HEADERS
from tests.simulation.engine import EPOCH_MS, SimulatedEngine, pstn
from tests.simulation.phone import Phone
from tests.simulation.phone_call import PhoneCall
from tests.simulation.world import ENGINE, Address, Conditions, Passed, World

A, B = "13800000001", "13900000002"
X = "700100000000001"

ALICE: Address = ("127.0.1.11", 5060)
BOB: Address = ("127.0.2.22", 5090)
HOPS: tuple[Address, ...] = (BOB, ("127.0.3.33", 5090), ("127.0.4.44", 5090))

LINGER_S = 70.0
"""Longer than 64·T1 twice over: a BYE that nobody answers, after a 2xx that nobody acknowledged."""


class Scene:
    """A calls X and B rings: binding AXB. `hops` next hops are phones of B's, in order of trying."""

    def __init__(
        self,
        *,
        hops: int = 1,
        seed: int = 0,
        conditions: Conditions | None = None,
        transport: str = "udp",
        settings: CallSettings | None = None,
        policy: Policy | None = None,
        timers: TimerValues | None = None,
        limits: Limits | None = None,
        trunks: Sequence[TrunkSettings] | None = None,
        rows: tuple[str, ...] | None = None,
        bind: bool = True,
        trunk: dict[str, Any] | None = None,
    ) -> None:
        self.world = World(seed, conditions or Conditions(), transport)
        addresses = HOPS[:hops]
        default = pstn(*addresses, transport=transport, **(trunk or {}))
        self.engine = SimulatedEngine(self.world, list(trunks or [default]), settings, policy, timers, limits)
        if bind:
            self.engine.table.add(Model.AXB, X, A, B)
        self.alice = Phone(self.world, "alice", A, ALICE, timers=timers, rows=rows)
        names = ("bob", "bill", "ben")
        self.callees = [
            Phone(self.world, name, B, address, timers=timers, rows=rows)
            for name, address in zip(names, addresses, strict=False)
        ]
        self.bob = self.callees[0]
        self.wants_faults = False

    # --- playing ---

    def run(self, seconds: float) -> None:
        self.world.run(seconds)

    def dial(
        self,
        dialled: str = X,
        *,
        seconds: float = 0.1,
        offer: str | None = None,
        headers: str = "",
        uri: str = "",
    ) -> PhoneCall:
        """A dials, and whatever follows within `seconds` happens."""
        call = self.alice.call(dialled, offer=offer, headers=headers, uri=uri)
        self.run(seconds)
        return call

    def talk(
        self, dialled: str = X, *, offer: str | None = None, seconds: float = 0.1
    ) -> tuple[PhoneCall, PhoneCall]:
        """A and B talk: the caller's and the callee's call. `seconds` is what the wire takes for each step."""
        call = self.dial(dialled, offer=offer, seconds=seconds)
        self.bob.calls[-1].answer()
        self.run(seconds)
        assert call.confirmed
        assert self.bob.calls[-1].confirmed
        return call, self.bob.calls[-1]

    @property
    def ringing(self) -> PhoneCall:
        """The last call at the first next hop."""
        return self.bob.calls[-1]

    @property
    def record(self) -> CallRecord:
        """The only record so far."""
        (only,) = self.engine.records.ends
        return only

    # --- looking at the wire ---

    def sent_to(self, phone: Phone, start: str = "") -> list[Passed]:
        """What the engine sent to a phone, by the beginning of its first line."""
        return [
            passed
            for passed in self.world.log
            if passed.source == ENGINE and passed.target == phone.address and passed.start.startswith(start)
        ]

    def last_to(self, phone: Phone, start: str = "") -> str:
        return self.sent_to(phone, start)[-1].text

    # --- what is true at the end of every flow ---

    def finish(self, linger_s: float = LINGER_S) -> CallRecord:
        """Lets everything run out, checks what must hold after every flow, and answers its one record."""
        self.close(linger_s)
        assert len(self.engine.records.ends) == 1, self.engine.records.ends
        return self.record

    def close(self, linger_s: float = LINGER_S) -> None:
        """The same for a flow with any number of records."""
        self.run(linger_s)
        self.check_nothing_left()
        self.check_wire()
        for record in self.engine.records.ends:
            check_record(record)
        self._check_starts()

    def check_nothing_left(self) -> None:
        engine = self.engine
        if not self.wants_faults and engine.faults:
            raise engine.faults[0]
        assert engine.board.calls == {}
        assert engine.board.legs == {}
        assert engine.endpoint.attempts_claimed == 0
        assert engine.endpoint.transactions_active == 0
        assert self.world.quiet()

    def check_wire(self) -> None:
        """Nothing of one side shows in what the engine sent to the other, and only what the engine may say at
        all; no message of one leg carries an identifier of the other leg."""
        callers, callees = [self.alice], self.callees
        for phones, others in ((callers, callees), (callees, callers)):
            identifiers = self._identifiers(others)
            for phone in phones:
                for passed in self.sent_to(phone):
                    check_message(passed.text)
                    for other in others:
                        assert other.canaries.found_in(passed.data) == [], passed.text
                    shown = [name for name in identifiers if name in passed.text]
                    assert shown == [], passed.text

    def _identifiers(self, phones: Sequence[Phone]) -> set[str]:
        """Call-IDs, tags, branches and session ids of everything that passed between these phones and the engine."""
        found: set[str] = set()
        for phone in phones:
            for passed in self.world.between(ENGINE, phone.address):
                text = passed.text
                for pattern in _IDENTIFIERS:
                    found.update(pattern.findall(text))
        return found

    def _check_starts(self) -> None:
        """An answered call's START was kept before its 200 went to the caller and its ACK to the callee."""
        records = self.engine.records
        answered = [record for record in records.ends if record.answer_time is not None]
        assert sorted(record.record_id for record in records.starts) == sorted(
            record.record_id for record in answered
        )
        for record in answered:
            place = records.start_places[record.record_id]
            # A fork that answers while the answer of another waits for a PRACK is hung up at once.
            unwanted = {
                _TO.findall(passed.text)[0]
                for passed in self.world.log[:place]
                if passed.source == ENGINE and passed.start.startswith("BYE ")
            }
            for index, passed in enumerate(self.world.log):
                if passed.source != ENGINE or index >= place:
                    continue
                text = passed.text
                a_leg = passed.start == "SIP/2.0 200 OK" and f"Call-ID: {record.a_call_id}\r\n" in text
                assert not (a_leg and " INVITE\r\n" in text), "a 200 left before its START entry"
                b_leg = passed.start.startswith("ACK ") and f"Call-ID: {record.b_call_id}\r\n" in text
                b_leg = b_leg and _TO.findall(text)[0] not in unwanted
                assert not b_leg, "an ACK left before its START entry"
        for start in records.starts:
            end = next(record for record in records.ends if record.record_id == start.record_id)
            assert start.release_time is None
            assert (start.caller, start.callee, start.answer_time, start.binding_id) == (
                end.caller, end.callee, end.answer_time, end.binding_id,
            )  # fmt: skip


_TO = re.compile(r"^To: (.+)\r$", re.MULTILINE)
_IDENTIFIERS = (
    re.compile(r"^Call-ID: (.+)\r$", re.MULTILINE),
    re.compile(r"^(?:From|To): .*;tag=([^;\s]+)", re.MULTILINE),
    re.compile(r"^Via: .*;branch=(?:z9hG4bK)?([^;\s]+)", re.MULTILINE),
    re.compile(r"^o=\S+ (\d{6,})", re.MULTILINE),
)


def check_message(text: str) -> None:
    """A message of the engine's: headers of the allow-list, one Via in requests, a fixed reason phrase, a right
    Content-Length."""
    head, _, body = text.partition("\r\n\r\n")
    start, *lines = head.split("\r\n")
    names = [line.partition(":")[0].lower() for line in lines]
    assert set(names) <= ENGINE_HEADERS, text
    for name in ("from", "to", "call-id", "cseq", "content-length"):
        assert names.count(name) == 1, text
    assert f"Content-Length: {len(body.encode('utf-8', 'surrogateescape'))}" in lines, text
    if not start.startswith("SIP/2.0 "):
        assert names.count("via") == 1, text
        assert names.count("max-forwards") == 1, text
    if body:
        assert names.count("content-type") == 1, text
        if start.startswith("INFO "):
            return  # its own kinds of bodies
        allowed = {"v", "o", "s", "c", "b", "t", "m", "a", "r", "z"}
        assert {line[0] for line in body.split("\r\n") if line} <= allowed, text


def check_record(record: CallRecord) -> None:
    """What is true of every record of a call; what was summed up says less."""
    if record.reason == "malformed":
        assert (record.type, record.disposition, record.released_by) == ("call", "refused", "platform")
        assert record.attempts >= 1
        assert (record.q850_cause, record.caller, record.dialled, record.a_call_id) == (None,) * 4
        return
    assert (record.schema, record.type, record.node, record.attempts) == (1, "call", "node", 1)
    assert record.record_id
    assert record.in_trunk
    assert record.source
    assert record.a_call_id
    assert record.setup_time is not None
    assert record.release_time is not None
    times = [record.setup_time, record.ringing_time, record.answer_time, record.release_time]
    known = [time for time in times if time is not None]
    assert known == sorted(known)
    assert known[0] >= EPOCH_MS
    assert record.disposition in ("answered", "busy", "no_answer", "cancelled", "refused", "failed")
    assert record.released_by in ("caller", "callee", "platform")
    assert (record.disposition == "answered") == (record.answer_time is not None)
    assert (record.talk_ms is None) == (record.answer_time is None)
    assert (record.ring_ms is None) == (record.ringing_time is None)
    if record.answer_time is not None:
        assert record.talk_ms == record.release_time - record.answer_time
        assert record.sip_status == 200
    if record.ringing_time is not None:
        assert record.ring_ms == (record.answer_time or record.release_time) - record.ringing_time
    assert record.sip_status is not None
    assert 200 <= record.sip_status <= 699
    assert record.q850_cause is not None
    assert 1 <= record.q850_cause <= 127
    admitted = record.out_trunk is not None
    if record.reason != "internal_error":  # which may come in between
        assert (record.b_call_id is not None) == admitted
    assert (record.callee is None) or admitted
    assert (record.binding_id is None) == (record.model is None) == (record.tenant is None)
    for absent in (record.verification, record.message_parts, record.delivered_time, record.content):
        assert absent is None


def expect(record: CallRecord, **fields: object) -> None:
    """The named fields of the record have these values."""
    assert {name: getattr(record, name) for name in fields} == fields

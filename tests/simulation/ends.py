"""Two ends that keep to no rule: the caller and two next hops, whose every message is written by hand, in any order."""

from __future__ import annotations

import re

from engine.calls.settings import CallSettings
from engine.numbering.binding import Model
from tests.simulation.engine import SimulatedEngine, pstn
from tests.simulation.scene import ALICE, HOPS, A, B, X
from tests.simulation.stranger import Stranger
from tests.simulation.world import ENGINE, Passed, World

SETTINGS = CallSettings(ring_timeout_s=100, max_duration_s=90, first_response_s=2, session_expires_s=90)
BODY = "v=0\r\no=x 1 1 IN IP4 h\r\ns=x\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
SDP = "Content-Type: application/sdp"
ABLE = ("Supported: 100rel, timer", "Allow: INVITE, ACK, BYE, CANCEL, PRACK, UPDATE, INFO")


class Ends:
    """Everybody on the wire, and what is true when all of it is over."""

    def __init__(self) -> None:
        self.world = World()
        self.engine = SimulatedEngine(self.world, [pstn(*HOPS[:2])], SETTINGS)
        self.engine.table.later = []
        self.engine.table.add(Model.AXB, X, A, B)
        self.caller = Stranger(self.world, ALICE)
        self.hops = [Stranger(self.world, address) for address in HOPS[:2]]
        self.invites = 0
        self.cseq = 1
        self.invited_at = 0.0
        self.branches = 0
        self.rseq = 0

    # --- the caller ---

    def invite(self, *lines: str, again: bool = False, offer: bool = True) -> None:
        """An INVITE; each new one is an attempt, with a Call-ID of its own. The old one is repeated only while its
        transaction must still be there: T4 after an ACK it would be an attempt of its own."""
        if not again or self.world.now > self.invited_at + 4:
            self.invites += 1
            self.cseq = 1
            self.invited_at = self.world.now
        self.caller.request(
            "INVITE",
            *([SDP] if offer else []),
            *lines,
            branch=f"z9hG4bKi{self.invites}",
            call_id=f"c{self.invites}",
            body=BODY if offer else "",
        )

    def cancel(self) -> None:
        self.caller.request(
            "CANCEL", branch=f"z9hG4bKi{self.invites}", call_id=f"c{self.invites}", contact=False
        )

    def within(self, method: str, *lines: str, offer: bool = False, early: bool = False) -> None:
        """Something in the dialog of the caller's last answer, or of its last provisional one, as far as there is
        one."""
        heard = [
            text
            for text in reversed(self.caller.heard)
            if text.startswith("SIP/2.0 ")
            and text.startswith("SIP/2.0 1") is early
            and ";tag=" in value(text, "To")
        ]
        self.branches += 1
        if method != "ACK":
            self.cseq += 1
        self.caller.request(
            method,
            *lines,
            *([SDP] if offer else []),
            branch=f"z9hG4bKw{self.branches}",
            call_id=f"c{max(1, self.invites)}",
            cseq=1 if method == "ACK" else self.cseq,
            to=value(heard[0], "To") if heard else "<sip:x@y>;tag=none",
            body=BODY if offer else "",
        )

    def prack(self, offer: bool = False, wrong: bool = False) -> None:
        """For the last reliable response that the caller heard."""
        reliable = [text for text in self.caller.heard if "\r\nRSeq: " in text]
        if reliable:
            rseq = int(value(reliable[-1], "RSeq")) + wrong
            self.within("PRACK", f"RAck: {rseq} 1 INVITE", offer=offer, early=True)

    def acknowledge_failure(self) -> None:
        self.caller.request(
            "ACK", branch=f"z9hG4bKi{self.invites}", call_id=f"c{self.invites}", contact=False
        )

    # --- the callee's side ---

    def respond(
        self, hop: int, method: str, status: int, fork: str = "a", body: str = "", *lines: str
    ) -> None:
        """Any answer to the last request of that method."""
        self._respond(self.hops[hop], method, status, fork, body, lines)

    def respond_reliably(self, hop: int, status: int, fork: str = "a", body: str = "", step: int = 1) -> None:
        self.rseq += step
        self.respond(hop, "INVITE", status, fork, body, "Require: 100rel", f"RSeq: {self.rseq}", ABLE[1])

    def from_callee(self, hop: int, method: str, fork: str = "a", *lines: str, offer: bool = False) -> None:
        heard = [text for text in self.hops[hop].heard if text.startswith("INVITE ")]
        if heard:
            self.branches += 1
            to = value(heard[-1], "To")
            self.hops[hop].request(
                method,
                *lines,
                *([SDP] if offer else []),
                branch=f"z9hG4bKh{self.branches}",
                from_=to if ";tag=" in to else f"{to};tag={fork}",
                to=value(heard[-1], "From"),
                call_id=value(heard[-1], "Call-ID"),
                cseq=self.branches,
                body=BODY if offer else "",
            )

    # --- either ---

    def respond_as_caller(self, method: str, status: int, body: str = "", *lines: str) -> None:
        self._respond(self.caller, method, status, "", body, lines)

    def say_again(self, who: Stranger) -> None:
        """The last datagram once more, INVITEs and what is too old excepted."""
        said = [passed for passed in self.world.log if passed.source == who.address]
        if said and said[-1].time > self.world.now - 4 and not said[-1].start.startswith("INVITE "):
            who.send(said[-1].text)

    def lose(self, who: Stranger) -> None:
        """The next datagram to somebody does not arrive."""
        left = [1]

        def drop(passed: Passed) -> bool:
            if passed.target == who.address and left:
                left.clear()
                return True
            return False

        self.world.drop = drop

    # --- the engine's own world ---

    def look_up(self, found: bool) -> None:
        assert self.engine.table.later is not None
        if self.engine.table.later:
            ticket, binding = self.engine.table.later.pop(0)
            ticket.then(binding if found else None, self.world.now)

    def end(self) -> None:
        for record_id in list(self.engine.board.calls)[:1]:
            self.engine.switchboard.end_call(record_id, self.world.now)

    # --- in the end ---

    def check(self) -> None:
        """One END record for each attempt, a START for exactly the answered ones, a final answer for each request, no
        fault, and nothing left."""
        while self.engine.table.later:
            self.look_up(True)
        self.world.run(400)
        engine = self.engine
        if engine.faults:
            raise engine.faults[0]
        records = engine.records.ends
        assert len(records) == self.invites
        assert len({record.record_id for record in records}) == len(records)
        answered = {record.record_id for record in records if record.answer_time is not None}
        assert {record.record_id for record in engine.records.starts} == answered
        assert len(engine.records.starts) == len(answered)
        assert engine.board.calls == {}
        assert engine.board.legs == {}
        assert engine.endpoint.attempts_claimed == 0
        assert engine.endpoint.transactions_active == 0
        assert engine.next_deadline > 1e17
        self._check_answers()
        for text in [text for hop in self.hops for text in hop.heard]:
            assert A not in text
        for text in self.caller.heard:
            assert B not in text

    def _check_answers(self) -> None:
        asked: set[tuple[str, str]] = set()
        answered: dict[tuple[str, str], set[str]] = {}
        for passed in self.world.log:
            text = passed.text
            key = (value(text, "Via").rpartition("branch=")[2], value(text, "CSeq").split()[1])
            if passed.source == ENGINE:
                if re.match(r"SIP/2\.0 [2-6]", text):
                    answered.setdefault(key, set()).add(text[8:11])
            elif not text.startswith("SIP/2.0 ") and key[1] != "ACK":
                asked.add(key)
        assert set(answered) == asked
        # A CANCEL that comes again when its INVITE has been forgotten is another one, which finds nothing.
        twice = {key for key, statuses in answered.items() if len(statuses) > 1 and key[1] != "CANCEL"}
        assert twice == set()

    def _respond(
        self, who: Stranger, method: str, status: int, tag: str, body: str, lines: tuple[str, ...]
    ) -> None:
        heard = [text for text in who.heard if text.startswith(f"{method} ")]
        if heard:
            host, port = who.address
            kind = [SDP] if body else []
            contact = f"Contact: <sip:hop@{host}:{port}>"
            who.answer(heard[-1], status, *kind, contact, *lines, tag=tag, body=body)


def value(text: str, name: str) -> str:
    """Of a header that must be there."""
    match = re.search(rf"^{name}: (.*)\r$", text, re.MULTILINE)
    assert match is not None, text
    return match[1]

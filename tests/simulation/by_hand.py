"""A call whose both ends write their messages by hand: for what a telephone would never do, or does too well."""

from __future__ import annotations

import re
from typing import Any

from tests.simulation.scene import ALICE, BOB, Scene
from tests.simulation.stranger import Stranger

SDP = "v=0\r\no=x 1 1 IN IP4 h\r\ns=x\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n"
KIND = "Content-Type: application/sdp"


def sdp(port: int) -> str:
    return SDP.format(port=port)


def header(text: str, name: str) -> str:
    """The first value of a header in a message, "" when it is absent."""
    match = re.search(rf"^{name}: (.*)\r$", text, re.MULTILINE)
    return match[1] if match is not None else ""


def body(text: str) -> str:
    return text.partition("\r\n\r\n")[2]


class ByHand:
    """The caller is `alice`, the callee `bob`; each keeps count of its own CSeq."""

    def __init__(self, **scene: Any) -> None:
        self.scene = Scene(**scene)
        self.alice = Stranger(self.scene.world, ALICE)
        self.bob = Stranger(self.scene.world, BOB)
        self._cseq = {"alice": 1, "bob": 100}

    def run(self, seconds: float = 0.1) -> None:
        self.scene.run(seconds)

    def dial(self, *lines: str, offer: str = "") -> str:
        """A dials X; what B heard of it."""
        kind = (KIND,) if offer else ()
        self.alice.request("INVITE", *lines, *kind, body=offer)
        self.run()
        return self.bob.last("INVITE")

    def ring(self, status: int, *lines: str, tag: str = "b", session: str = "") -> str:
        """B answers the INVITE, provisionally or finally; what A heard last of it."""
        kind = (KIND,) if session else ()
        contact = f"Contact: <sip:b-{tag}@{BOB[0]}:{BOB[1]}>"
        self.bob.answer(self.invite, status, contact, *lines, *kind, tag=tag, body=session)
        self.run()
        return self.alice.last("SIP/2.0")

    def ring_reliably(self, status: int, rseq: int, *lines: str, tag: str = "b", session: str = "") -> str:
        return self.ring(status, "Require: 100rel", f"RSeq: {rseq}", *lines, tag=tag, session=session)

    @property
    def invite(self) -> str:
        """The INVITE that B got."""
        return self.bob.last("INVITE")

    def ask_a(self, method: str, response: str, *lines: str, session: str = "", cseq: int = 0) -> None:
        """A asks within the dialog that `response` made."""
        self._ask(self.alice, "alice", method, lines, session, cseq, "by-hand",
                  header(response, "From"), header(response, "To"), _target(response))  # fmt: skip

    def ask_b(self, method: str, *lines: str, tag: str = "b", session: str = "", cseq: int = 0) -> None:
        """B asks within the dialog that its own `tag` made."""
        invite = self.invite
        self._ask(self.bob, "bob", method, lines, session, cseq, header(invite, "Call-ID"),
                  f"{header(invite, 'To')};tag={tag}", header(invite, "From"), _target(invite))  # fmt: skip

    def prack(self, response: str, *lines: str, session: str = "", rack: str = "") -> None:
        """A acknowledges a reliable provisional response."""
        rack = rack or f"{header(response, 'RSeq')} {header(response, 'CSeq')}"
        self.ask_a("PRACK", response, f"RAck: {rack}", *lines, session=session)
        self.run()

    def ack(self, response: str, session: str = "") -> None:
        self.ask_a("ACK", response, session=session, cseq=int(header(response, "CSeq").split()[0]))
        self.run()

    def talk(self, *lines: str, answer: tuple[str, ...] = ()) -> str:
        """A and B talk; the 200 that A got."""
        self.dial(*lines, offer=sdp(4000))
        ok = self.ring(200, *answer, session=sdp(5000))
        self.ack(ok)
        return ok

    def hang_up(self, response: str) -> None:
        """A hangs up and B answers."""
        self.ask_a("BYE", response)
        self.run()
        self.bob.answer(self.bob.last("BYE"), 200)
        self.run()

    def _ask(
        self, who: Stranger, name: str, method: str, lines: tuple[str, ...], session: str, cseq: int,
        call_id: str, from_: str, to: str, uri: str,
    ) -> None:  # fmt: skip
        if not cseq:
            self._cseq[name] += 1
            cseq = self._cseq[name]
        kind = (KIND,) if session and not any(line.startswith("Content-Type") for line in lines) else ()
        who.request(
            method, *lines, *kind, uri=uri, branch=f"z9hG4bK{name}{method}{cseq}", from_=from_, to=to,
            call_id=call_id, cseq=cseq, contact=method != "PRACK", body=session,
        )  # fmt: skip
        self.run()


def _target(text: str) -> str:
    return header(text, "Contact").partition("<")[2].partition(">")[0]

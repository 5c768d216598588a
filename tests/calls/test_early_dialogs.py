"""What a callee's side may do before it answers, and what it may not: forks, 199, requests in an early dialog."""

from __future__ import annotations

import re

import pytest

from tests.simulation.phone_call import PhoneCall
from tests.simulation.scene import BOB, Scene, X, expect
from tests.simulation.stranger import Stranger


def tags_of(call: PhoneCall) -> list[str]:
    """To tags of the provisional responses that the caller has seen, each once, in order."""
    tags = [response.to_tag for response in call.heard.responses if response.status > 100]
    return list(dict.fromkeys(tags))


def test_sixteen_early_dialogs_are_enough() -> None:
    """Further ones share the last one's tag, also the one that answers."""
    scene = Scene()
    call = scene.dial()
    for number in range(20):
        scene.ringing.ring(183, fork=f"fork-{number}")
        scene.run(0.05)
    assert len(tags_of(call)) == 16
    assert sum(status == 183 for status in call.heard.statuses()) == 20
    scene.ringing.answer(fork="fork-19")
    scene.run(0.1)
    assert call.confirmed
    assert call.remote_tag == tags_of(call)[15]
    call.hang_up()
    expect(scene.finish(), reason="normal")


def test_sixteen_unwanted_answers_are_enough() -> None:
    """Each of them is acknowledged and hung up; what else a next hop makes up is ignored."""
    scene = Scene()
    hop = Stranger(scene.world, BOB)  # in the phone's place
    call = scene.dial()
    invite = hop.last("INVITE")
    contact = f"Contact: <sip:{BOB[0]}:{BOB[1]}>"
    for number in range(40):
        hop.answer(invite, 200, contact, tag=f"fork-{number}")
        scene.run(0.02)
    byes = [text for text in hop.heard if text.startswith("BYE")]
    assert len({re.findall(r"^To: .*;tag=(.*)\r$", text, re.MULTILINE)[0] for text in byes}) == 16
    assert call.confirmed
    call.hang_up()
    scene.run(1)
    expect(scene.record, reason="normal")


def test_199_is_no_progress() -> None:
    """Nobody offered to hear of dialogs that end early (RFC 6228 4): the caller does not, nor is it ringing."""
    scene = Scene()
    call = scene.dial()
    scene.ringing.ring(199)
    scene.run(0.1)
    assert call.heard.statuses() == [100]
    scene.ringing.reject(486)
    scene.run(0.1)
    assert call.status == 486
    expect(scene.finish(), reason="callee_busy", ringing_time=None)


@pytest.mark.parametrize(
    ("method", "status"),
    [("OPTIONS", 200), ("INFO", 200), ("UPDATE", 200), ("FROBNICATE", 501), ("INVITE", 491), ("BYE", 500)],
)
def test_a_callees_request_in_an_early_dialog(method: str, status: int) -> None:
    """It is known, so never 481. An INFO crosses to the early dialog of the caller."""
    scene = Scene()
    hop = Stranger(scene.world, BOB)
    call = scene.dial()
    invite = hop.last("INVITE")
    hop.answer(invite, 180, tag="early")
    scene.run(0.1)
    assert call.heard.statuses() == [100, 180]

    def ask(tag: str, branch: str) -> int:
        value = {
            name: re.findall(rf"^{name}: (.*)\r$", invite, re.MULTILINE)[0]
            for name in ("From", "To", "Call-ID")
        }
        hop.request(
            method,
            branch=branch,
            from_=f"{value['To']};tag={tag}",
            to=value["From"],
            call_id=value["Call-ID"],
        )
        scene.run(0.1)
        return hop.statuses()[-1]

    assert ask("early", "z9hG4bKearly") == status
    assert ask("another", "z9hG4bKanother") == 481
    assert not call.over
    hop.answer(invite, 486, tag="early")
    scene.run(0.1)
    assert call.status == 486
    expect(scene.record, reason="callee_busy")


@pytest.mark.parametrize("to_tagged", [False, True])
def test_what_requires_nothing_is_not_refused(to_tagged: bool) -> None:
    """An empty Require names no extension; in a dialog and out of it one that does is refused."""
    scene = Scene()
    call, _ = scene.talk()
    if to_tagged:
        asked = [call.send("OPTIONS", f"Require: {what}\r\n") for what in ("", ",", "replaces")]
    else:
        asked = [scene.alice.options(f"Require: {what}\r\n") for what in ("", ",", "replaces")]
    scene.run(0.1)
    assert [asking.status for asking in asked] == [200, 200, 420]
    assert asked[2].responses[0].value("unsupported") == "replaces"
    call.hang_up()
    scene.finish()


def test_a_call_that_requires_nothing() -> None:
    scene = Scene()
    call = scene.dial(X, headers="Require:\r\n")
    scene.ringing.answer()
    scene.run(0.1)
    assert call.confirmed
    assert call.reinvite(headers="Require: replaces\r\n")
    scene.run(0.1)
    assert call.reinvite_statuses == [420]
    call.hang_up()
    scene.finish()

"""Flows that are played again and again: with all canaries, row by row, over UDP and TCP."""

from __future__ import annotations

from collections.abc import Callable

from tests.simulation.phone_call import PhoneCall
from tests.simulation.scene import Scene, X


def answered(scene: Scene) -> None:
    """Early media, ringing, answer; both sides change the session; the caller hangs up."""
    call = scene.dial()
    callee = scene.ringing
    callee.ring(183, scene.bob.session())
    callee.ring(180)
    scene.run(0.5)
    callee.answer()
    scene.run(0.5)
    assert call.reinvite(scene.alice.session("sendonly", version=2))
    scene.run(0.5)
    assert callee.reinvite(scene.bob.session("recvonly", version=9))
    scene.run(0.5)
    call.hang_up()


def answered_and_left_by_callee(scene: Scene) -> None:
    _, callee = scene.talk()
    callee.hang_up('Reason: Q.850;cause=31;text="{c}"\r\n'.replace("{c}", scene.bob.canaries.mark))


def late_offer(scene: Scene) -> None:
    """No session in the INVITE, none in the re-INVITEs: the offer is in the 2xx, the answer in the ACK."""
    call, callee = scene.talk(offer="")
    call.reinvite("")
    scene.run(0.5)
    callee.reinvite("")
    scene.run(0.5)
    call.hang_up()


def forked(scene: Scene) -> None:
    """Three early dialogs; the second one answers, a third one too late."""
    scene.dial()
    callee = scene.ringing
    for fork in ("one", "two", "three"):
        callee.ring(183, scene.bob.session(), fork=fork)
    scene.run(0.2)
    callee.answer(fork="two")
    callee.answer(fork="three")
    scene.run(0.5)
    scene.alice.calls[-1].hang_up()


def busy(scene: Scene) -> None:
    scene.dial()
    scene.ringing.ring(180)
    scene.ringing.reject(
        486,
        scene.bob.canaries.fill('Reason: Q.850;cause=17;text="{c} {n}"\r\nRetry-After: 17 ({c});x={c}\r\n'),
    )


def refused_with_body(scene: Scene) -> None:
    scene.dial()
    fill = scene.bob.canaries.fill
    scene.ringing.reject(488, fill("Content-Type: text/plain\r\n"), fill("{c} is {n}\r\n"))


def redirected(scene: Scene) -> None:
    scene.dial()
    fill = scene.bob.canaries.fill
    scene.ringing.reject(302, fill("Contact: <sip:{n}@{c}-moved.example>;q=0.7, <tel:+86{n}>\r\n"))


def challenged(scene: Scene) -> None:
    scene.dial()
    scene.ringing.reject(407)


def cancelled(scene: Scene) -> None:
    call = scene.dial()
    scene.ringing.ring(180)
    scene.run(0.2)
    call.cancel(scene.alice.canaries.fill('Reason: SIP;cause=200;text="{c}"\r\n'))


def cancelled_while_answered(scene: Scene) -> None:
    """The CANCEL crosses the 200 between engine and callee."""
    call = scene.dial()
    scene.ringing.ring(180)
    scene.run(0.2)
    call.cancel()
    scene.run(0.002)
    scene.ringing.answer()


def never_answered(scene: Scene) -> None:
    scene.dial()
    scene.ringing.ring(180)
    scene.run(181)


def silent(scene: Scene) -> None:
    """The callee's side says nothing at all."""
    scene.world.drop = lambda passed: passed.target == scene.bob.address
    scene.dial(seconds=33)


def unacknowledged(scene: Scene) -> None:
    """The caller's ACK never comes."""
    scene.alice.script = lambda call: None
    call = scene.alice.call(X)
    call.auto_ack = False
    scene.run(0.1)
    scene.ringing.answer()
    scene.run(40)


def talked_too_long(scene: Scene) -> None:
    scene.engine.board.settings.max_duration_s = 600  # before any session timer is due
    scene.talk()
    scene.run(601)


def hung_up_early(scene: Scene) -> None:
    """BYE in an early dialog (RFC 3261 15)."""
    call = scene.dial()
    scene.ringing.ring(180)
    scene.run(0.2)
    learn_early_dialog(call)
    call.hang_up(force=True)


def stranger(scene: Scene) -> None:
    scene.dial("700100000000099")


def reliable(scene: Scene) -> None:
    """A reliable 183 with a session; PRACK and UPDATE bring further ones, from both sides."""
    call = scene.dial(headers="Supported: 100rel\r\n")
    callee = scene.ringing
    callee.ring(183, scene.bob.session(), headers="Require: 100rel\r\nRSeq: 4711\r\n")
    scene.run(0.2)
    learn_early_dialog(call)
    sequence = call.heard.responses[-1].value("rseq")
    call.send("PRACK", f"RAck: {sequence} {call.cseq} INVITE\r\n", scene.alice.session(port=4002))
    scene.run(0.2)
    call.send("UPDATE", scene.alice.contact(), scene.alice.session(port=4004))
    scene.run(0.2)
    callee.local += f";tag={callee.tag}"
    callee.send("UPDATE", scene.bob.contact(), scene.bob.session(port=4006))
    scene.run(0.2)
    callee.answer()
    scene.run(0.2)
    call.hang_up()


def updated(scene: Scene) -> None:
    """UPDATE and INFO from both sides within the call."""
    call, callee = scene.talk()
    for side in (call, callee):
        phone = side.phone
        side.send("UPDATE", phone.contact(), phone.session("sendonly", version=7))
        scene.run(0.2)
        side.send("UPDATE", phone.contact())
        scene.run(0.2)
        side.send("INFO", "Content-Type: application/dtmf-relay\r\n", "Signal=5\r\nDuration=160\r\n")
        side.send("INFO", "Content-Type: text/plain\r\n", phone.canaries.fill("{c} is {n}"))
        scene.run(0.2)
    callee.hang_up()


def refreshed(scene: Scene) -> None:
    """The engine refreshes both legs, by UPDATE, or by INVITE where that is not allowed."""
    call = scene.dial(headers="Supported: timer\r\nSession-Expires: 600;refresher=uas\r\n")
    scene.ringing.answer(headers="Session-Expires: 600;refresher=uac\r\n")
    scene.run(500)
    call.hang_up()


def refused_requests(scene: Scene) -> None:
    """What is not carried through, from both sides: refused on its leg, whatever it says."""
    call, callee = scene.talk()
    for side in (call, callee):
        fill = side.phone.canaries.fill
        for method in ("REFER", "MESSAGE", "NOTIFY", "SUBSCRIBE", "PUBLISH", "REGISTER", "INVENTED"):
            side.send(
                method,
                fill("Refer-To: <sip:{n}@{c}.example>\r\nContent-Type: text/plain\r\n"),
                fill("{c} {n}"),
            )
            scene.run(0.1)
    call.hang_up()


def never_pracked(scene: Scene) -> None:
    """Reliable ringing, the answer, and no PRACK at all; then one of a fork that has lost."""
    call = scene.dial(headers="Supported: 100rel\r\n")
    callee = scene.ringing
    for fork in ("one", "two"):
        callee.ring(180, headers="Require: 100rel\r\nRSeq: 9\r\n", fork=fork)
        scene.run(0.2)
    lost = call.heard.responses[1]
    callee.answer(fork="two")
    scene.run(0.2)
    call.send("PRACK", f"RAck: {lost.value('rseq')} {call.cseq} INVITE\r\n")
    scene.run(0.2)
    call.hang_up()


def lost_in_a_fork(scene: Scene) -> None:
    """UPDATEs of both sides are on their way in the one fork when the other answers."""
    call = scene.dial(headers="Supported: 100rel\r\n")
    callee = scene.ringing
    for fork in ("two", "one"):
        callee.ring(183, scene.bob.session(), headers="Require: 100rel\r\nRSeq: 9\r\n", fork=fork)
        scene.run(0.2)
        learn_early_dialog(call)
        sequence = call.heard.responses[-1].value("rseq")
        call.send("PRACK", f"RAck: {sequence} 11 INVITE\r\n", scene.alice.session(port=4002))
        scene.run(0.2)
    call.send("UPDATE", scene.alice.contact(), scene.alice.session(port=4004))
    callee.local = f"{callee.invite.value('to')};tag={callee.forks['one']}"
    callee.send("UPDATE", scene.bob.contact(), scene.bob.session(port=4006))
    callee.answer(fork="two")
    scene.run(0.5)
    call.hang_up()


def ended_in_between(scene: Scene) -> None:
    """One side hangs up while UPDATE, INFO, a re-INVITE and the engine's own refresh are on their way."""
    call = scene.dial(headers="Supported: timer\r\nSession-Expires: 600;refresher=uas\r\n")
    callee = scene.ringing
    callee.answer()
    scene.run(1)
    scene.alice.on_reinvite = lambda asked: None
    call.send("INFO")
    call.send("UPDATE", scene.alice.contact(), scene.alice.session(port=4004))
    callee.reinvite()
    scene.run(300)
    callee.hang_up()


def learn_early_dialog(call: PhoneCall) -> None:
    """Lets the caller speak in the early dialog of the last provisional response."""
    response = call.heard.responses[-1]
    call.remote = response.value("to")
    contact = response.contact
    assert contact is not None
    call.remote_uri = contact.uri


FLOWS: dict[str, Callable[[Scene], None]] = {
    play.__name__: play
    for play in (
        *(answered, answered_and_left_by_callee, late_offer, forked, busy, refused_with_body, redirected),
        *(challenged, cancelled, cancelled_while_answered, never_answered, silent, unacknowledged),
        *(talked_too_long, hung_up_early, stranger, reliable, updated, refreshed),
        *(never_pracked, lost_in_a_fork, ended_in_between, refused_requests),
    )
}

"""What crosses from leg to leg: few headers, masked sessions, and the version of o= that says when they change."""

from __future__ import annotations

import re

import pytest

from engine.calls.session import SessionOrigin
from tests.simulation.scene import Scene

OFFER = (
    "v=0\r\no=x 1 1 IN IP4 192.0.2.1\r\ns=x\r\nc=IN IP4 192.0.2.1\r\nb=AS:384\r\nt=0 0\r\n"
    "a=group:BUNDLE 0 1\r\n"
    "m=audio 4000 RTP/AVP 96 101\r\na=rtpmap:96 AMR/8000\r\na=fmtp:96 mode-set=0,2,5,7;mode-change-period=2\r\n"
    "a=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\na=maxptime:240\r\na=mid:0\r\na=rtcp-mux\r\na=sendrecv\r\n"
    "m=video 4002 RTP/AVPF 97\r\nb=TIAS:256000\r\na=rtpmap:97 H264/90000\r\na=rtcp-fb:* nack pli\r\na=mid:1\r\n"
    "a=imageattr:97 send [x=320,y=240]\r\na=content:main\r\na=curr:qos local none\r\n"
    "a=des:qos optional remote sendrecv\r\na=sendonly\r\n"
    "m=image 0 udptl t38\r\na=T38FaxVersion:0\r\n"
)


@pytest.mark.parametrize(("sent", "arrived"), [("70", 69), ("12", 11), ("1", 0), ("255", 254)])
def test_max_forwards_falls_by_one(sent: str, arrived: int) -> None:
    scene = Scene()
    scene.world.drop = lambda passed: False
    call = scene.alice.call("700100000000001")
    # The phone's endpoint writes 70; on the wire it becomes what is wanted.
    ((flow, data),) = scene.alice.outbox
    scene.alice.outbox[:] = [(flow, data.replace(b"Max-Forwards: 70", f"Max-Forwards: {sent}".encode()))]
    scene.run(0.1)
    assert scene.ringing.invite.max_forwards == arrived
    scene.ringing.reject(486)
    scene.finish()
    assert call.status == 486


def test_max_forwards_that_is_absent_becomes_70() -> None:
    scene = Scene()
    scene.alice.call("700100000000001")
    ((flow, data),) = scene.alice.outbox
    scene.alice.outbox[:] = [(flow, data.replace(b"Max-Forwards: 70\r\n", b""))]
    scene.run(0.1)
    assert scene.ringing.invite.max_forwards == 70
    scene.ringing.reject(486)
    scene.finish()


@pytest.mark.parametrize(
    "status", [400, 403, 404, 408, 410, 413, 480, 484, 486, 488, 500, 502, 504, 600, 603, 604]
)
def test_retry_after_crosses_with_five_statuses_only(status: int) -> None:
    scene = Scene()
    call = scene.dial()
    scene.ringing.reject(status, "Retry-After: 120 (canary-bob);duration=60;x=canary-bob\r\n")
    scene.run(0.2)
    crossed = call.heard.responses[-1].value("retry-after")
    assert crossed == ("120" if status in (404, 480, 486, 600, 603) else "")
    scene.finish()


@pytest.mark.parametrize("value", ["soon", "", "-1", "1234567", "canary-bob"])
def test_a_retry_after_that_is_no_number_stays_behind(value: str) -> None:
    scene = Scene()
    call = scene.dial()
    scene.ringing.reject(486, f"Retry-After: {value}\r\n")
    scene.run(0.2)
    assert call.heard.responses[-1].value("retry-after") == ""
    scene.finish()


def test_abilities_are_the_engines_own() -> None:
    """Of Allow and Supported only what the engine carries through, which holds whatever the far end can."""
    scene = Scene()
    call, callee = scene.talk()
    for message in (callee.invite, call.heard.responses[-1]):
        assert message.value("allow") == "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE"
        assert message.value("supported") == "100rel, timer"
    assert callee.invite.value("require") == ""
    assert callee.invite.value("accept") == "application/sdp"
    call.hang_up()
    scene.finish()


@pytest.mark.parametrize("required", ["replaces", "canary-alice, path", "x-unknown"])
def test_a_required_extension_is_refused_on_its_own_leg(required: str) -> None:
    scene = Scene()
    call = scene.dial(headers=f"Require: {required}\r\n")
    assert scene.bob.calls == []
    assert call.status == 420
    assert call.heard.responses[-1].value("unsupported") == required
    assert scene.finish().reason == "malformed"


def test_sessions_cross_both_ways_line_by_line() -> None:
    scene = Scene(rows=())
    call = scene.dial(offer=OFFER)
    expected = OFFER.partition("s=x\r\n")[2]
    offered = scene.ringing.invite.body.decode()
    assert offered.partition("s=-\r\n")[2] == expected
    scene.ringing.ring(183, OFFER)
    scene.run(0.1)
    scene.ringing.answer(OFFER)
    scene.run(0.1)
    for response in call.heard.responses[1:]:
        assert response.content_type == "application/sdp"
        assert response.body.decode().partition("s=-\r\n")[2] == expected
    call.hang_up()
    scene.finish()


def version(body: bytes) -> int:
    match = re.search(rb"^o=- \d+ (\d+) ", body, re.MULTILINE)
    assert match is not None, body
    return int(match[1])


def test_the_version_rises_exactly_when_the_session_changes() -> None:
    scene = Scene()
    call, callee = scene.talk()
    same = scene.alice.session(version=77)  # only its o= differs, and that does not cross
    versions = []
    for session in (same, scene.alice.session("sendonly"), scene.alice.session("sendonly"), same):
        assert call.reinvite(session)
        scene.run(0.5)
        versions.append(version(callee.heard.requests[-1].body))
    assert versions == [1, 2, 2, 3]
    # The callee's answers to re-INVITEs came from another port than its first one, and have not changed since.
    answers = [version(item.body) for item in call.heard.responses if item.status == 200]
    assert answers == [1, 2, 2, 2, 2]
    call.hang_up()
    scene.finish()


def test_the_session_id_stays_within_a_dialog_and_differs_between_dialogs() -> None:
    scene = Scene()
    call, callee = scene.talk()
    call.reinvite()
    scene.run(0.5)
    origin = re.compile(rb"^o=- (\d+) ", re.MULTILINE)
    to_bob = {origin.findall(item.body)[0] for item in callee.heard.requests}
    to_alice = {origin.findall(item.body)[0] for item in call.heard.responses if item.body}
    assert len(to_bob) == len(to_alice) == 1
    assert to_bob != to_alice
    call.hang_up()
    scene.finish()


def test_session_origin_writes_nothing_for_nothing() -> None:
    origin = SessionOrigin(7, "[2001:db8::1]")
    assert origin.write("") == ""
    assert origin.write("t=0 0\r\n") == "v=0\r\no=- 7 1 IN IP6 2001:db8::1\r\ns=-\r\nt=0 0\r\n"
    assert origin.write("") == ""
    assert origin.write("t=0 0\r\n").startswith("v=0\r\no=- 7 1 ")
    assert origin.write("t=1 0\r\n").startswith("v=0\r\no=- 7 2 ")

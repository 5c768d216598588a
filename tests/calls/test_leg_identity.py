"""Each leg's own identity (RFC 3261 12, RFC 3323, RFC 3325): what one side reads on its leg is the engine's or
its own, never the other side's. That no Call-ID, tag, branch or session id of one leg shows on the other is
checked by every scene."""

import re

import pytest

from engine.authorization.gate import Policy
from engine.numbering.binding import Model
from engine.sip.headers import NameAddr, Via
from tests.simulation.by_hand import ByHand, sdp
from tests.simulation.phone_call import PhoneCall
from tests.simulation.scene import ALICE, BOB, HOPS, A, B, Scene, X
from tests.simulation.world import ENGINE

Y = "700100000000002"


def header(text: str, name: str) -> str:
    (value,) = re.findall(rf"^{name}: (.*)\r$", text, re.MULTILINE)
    return str(value)


def headers(text: str, name: str) -> list[str]:
    return re.findall(rf"^{name}: (.*)\r$", text, re.MULTILINE)


def test_the_callees_leg_speaks_for_the_700_number() -> None:
    scene = Scene()
    scene.talk()
    invite = scene.last_to(scene.bob, "INVITE")
    assert invite.startswith(f"INVITE sip:{B}@{BOB[0]}:{BOB[1]} SIP/2.0\r\n")
    assert header(invite, "To") == f"<sip:{B}@{BOB[0]}:{BOB[1]}>"
    shown = NameAddr.parse(header(invite, "From"))
    assert (shown.display, shown.uri) == ("", f"sip:{X}@{ENGINE[0]}")
    assert list(shown.params) == ["tag"]


def test_the_callers_leg_echoes_from_and_to_with_a_tag_of_our_own() -> None:
    scene = Scene()
    call, _ = scene.talk()
    sent = scene.world.log[0].text
    tags = set()
    for passed in scene.sent_to(scene.alice, "SIP/2.0 ")[1:]:  # the 100 has no tag (8.2.6.2)
        assert header(passed.text, "From") == header(sent, "From")
        to, _, tag = header(passed.text, "To").rpartition(";tag=")
        assert to == header(sent, "To")
        tags.add(tag)
    assert tags == {call.remote_tag}
    scene.alice.calls[0].hang_up()
    scene.finish()


def test_the_other_number_of_axyb_is_shown() -> None:
    scene = Scene(bind=False)
    scene.engine.table.add(Model.AXYB, X, A, B, Y)
    scene.talk()
    assert header(scene.last_to(scene.bob, "INVITE"), "From").startswith(f"<sip:{Y}@{ENGINE[0]}>")
    scene.alice.calls[0].hang_up()
    assert (scene.finish().dialled, scene.record.shown) == (X, Y)


@pytest.mark.parametrize(
    ("number_format", "callee", "shown"),
    [("national", B, X), ("e164", f"+86{B}", f"+86{X}")],
)
def test_numbers_are_written_as_the_trunk_wants_them(number_format: str, callee: str, shown: str) -> None:
    scene = Scene(trunk={"number_format": number_format})
    scene.dial()
    invite = scene.last_to(scene.bob, "INVITE")
    assert invite.startswith(f"INVITE sip:{callee}@")
    assert header(invite, "To").startswith(f"<sip:{callee}@")
    assert header(invite, "From").startswith(f"<sip:{shown}@{ENGINE[0]}>;tag=")
    scene.ringing.reject(486)
    scene.finish()


@pytest.mark.parametrize(("style", "number"), [("national", X), ("e164", f"+86{X}")])
def test_a_trunk_that_wants_it_gets_the_700_number_asserted(style: str, number: str) -> None:
    """As From, without a display name, whatever the caller's side asserts or keeps private."""
    call = ByHand(trunk={"assert_identity": True, "number_format": style})
    invite = call.dial(f'P-Asserted-Identity: "Li" <sip:{A}@a.example>', "Privacy: id", offer=sdp(4000))
    (asserted,) = [line for line in invite.split("\r\n") if line.startswith("P-Asserted-Identity")]
    assert asserted == f"P-Asserted-Identity: <sip:{number}@127.0.0.9>"
    assert header(invite, "From").startswith(f"<sip:{number}@127.0.0.9>;tag=")
    assert A not in invite
    assert "Privacy" not in invite
    call.ring(486)
    plain = ByHand()
    assert "P-Asserted-Identity" not in plain.dial(offer=sdp(4000))
    plain.ring(486)


def test_contacts_are_the_engine_with_an_opaque_user() -> None:
    scene = Scene()
    scene.talk()
    users = set()
    for text in (scene.last_to(scene.bob, "INVITE"), scene.last_to(scene.alice, "SIP/2.0 200")):
        match = re.fullmatch(r"<sip:([0-9a-f]{16})@127\.0\.0\.9:5060>", header(text, "Contact"))
        assert match is not None, text
        users.add(match[1])
    assert len(users) == 2
    scene.alice.calls[0].hang_up()
    scene.finish()


def test_call_ids_and_tags_are_new_for_each_call() -> None:
    scene = Scene()
    seen: list[str] = []
    for _ in range(3):
        call, callee = scene.talk()
        seen += [callee.call_id, callee.remote_tag, call.remote_tag]
        call.hang_up()
        scene.run(1)
    assert len(set(seen)) == 9
    scene.close()


def test_a_leg_has_one_via_of_the_engine() -> None:
    scene = Scene()
    call, _ = scene.talk()
    call.hang_up()
    scene.finish()
    branches = []
    for phone in (scene.alice, scene.bob):
        for passed in scene.sent_to(phone):
            if not passed.start.startswith("SIP/2.0"):
                via = Via.parse(header(passed.text, "Via"))
                assert (via.transport, via.host, via.port) == ("UDP", *ENGINE)
                branches.append(via.branch)
    assert all(branch.startswith("z9hG4bK") for branch in branches)
    assert len(set(branches)) == len(branches) == 3  # INVITE, ACK, BYE


def test_each_leg_counts_its_own_cseq() -> None:
    scene = Scene()
    call, callee = scene.talk()
    for _ in range(2):
        call.reinvite()
        scene.run(0.5)
    callee.reinvite()
    scene.run(0.5)
    callee.hang_up()
    scene.finish()
    assert [item.cseq for item in callee.heard.requests] == [1, 2, 3]
    assert [item.cseq for item in call.heard.requests] == [1, 2]
    assert call.cseq == 13


def test_each_leg_has_its_own_route_set() -> None:
    """Record-Route of either side comes back to that side as Route, in its order, and goes no further."""
    scene = Scene()
    call, callee = scene.talk()
    assert headers(scene.last_to(scene.bob, "INVITE"), "(?:Record-)?Route") == []
    callee.hang_up()
    scene.run(1)
    to_alice = headers(scene.last_to(scene.alice, "BYE"), "Route")
    assert to_alice == [
        "<sip:canary-alice@canary-alice-rr1.example;lr>",
        "<sip:canary-alice-rr2.example;lr>",
    ]
    ack = headers(scene.last_to(scene.bob, "ACK"), "Route")
    assert ack == ["<sip:canary-bob-rr2.example;lr>", "<sip:canary-bob@canary-bob-rr1.example;lr>"]
    # The caller's route set is what its INVITE brought, given back in the answers (12.1.1).
    echoed = ", ".join(headers(scene.last_to(scene.alice, "SIP/2.0 200"), "Record-Route"))
    assert echoed == ", ".join(to_alice)
    assert call.over
    scene.finish()


@pytest.mark.parametrize(
    "privacy", ["id", "header", "user", "session", "critical", "none", "id;header;user;session;critical"]
)
def test_privacy_changes_nothing_and_is_not_sent_on(privacy: str) -> None:
    scene = Scene(rows=())
    scene.dial(headers=f"Privacy: {privacy}\r\n")
    scene.ringing.answer()
    scene.run(0.5)
    invite = scene.last_to(scene.bob, "INVITE")
    assert header(invite, "From").startswith(f"<sip:{X}@{ENGINE[0]}>;tag=")
    for phone in (scene.alice, scene.bob):
        assert not any("Privacy" in passed.text for passed in scene.sent_to(phone))
    scene.alice.calls[0].hang_up()
    scene.finish()


def test_the_request_uri_within_a_dialog_is_each_sides_own_contact() -> None:
    scene = Scene()
    call, callee = scene.talk()
    scene.ringing.hang_up()
    scene.run(1)
    assert scene.sent_to(scene.alice, f"BYE sip:canary-alice-{A}@{ALICE[0]}:{ALICE[1]};ob;gr=")
    assert scene.sent_to(scene.bob, f"ACK sip:canary-bob-{B}@{BOB[0]}:{BOB[1]};ob;gr=")
    assert call.released_by == "peer"
    assert callee.released_by == "self"
    scene.finish()


def test_the_other_way_round_hides_the_same() -> None:
    """B calls X and A rings: the phones change their parts."""
    scene = Scene(bind=False)
    scene.engine.table.add(Model.AXB, X, B, A)  # A of the binding is who usually rings here
    call, callee = scene.talk()
    assert isinstance(callee, PhoneCall)
    call.hang_up()
    record = scene.finish()
    assert (record.direction, record.caller, record.callee) == ("b_to_a", f"+86{A}", f"+86{B}")


def test_after_fail_over_the_next_hop_gets_a_leg_of_its_own() -> None:
    scene = Scene(hops=2)
    scene.dial()
    scene.ringing.reject(503)
    scene.run(0.2)
    second = scene.callees[1].calls[0]
    assert second.call_id != scene.ringing.call_id
    assert second.remote_tag != scene.ringing.remote_tag
    assert second.invite.uri == f"sip:{B}@{HOPS[1][0]}:{HOPS[1][1]}"
    second.answer()
    scene.run(0.5)
    scene.alice.calls[0].hang_up()
    assert scene.finish().b_call_id == second.call_id


def test_strangers_learn_nothing_from_the_policy() -> None:
    """A stranger's refusal is the one of a number that nobody is bound on."""
    answers = []
    for number, bind in ((X, True), (X, False)):
        scene = Scene(bind=False, policy=Policy(), rows=())
        if bind:
            scene.engine.table.add(Model.AXB, number, "13700000007", B)
        scene.dial(number)
        refusal = scene.last_to(scene.alice, "SIP/2.0 404")
        answers.append(re.sub(r";tag=[^;\r]+|branch=[^;\r]+|Call-ID: .*", "", refusal))
        scene.close()
    assert answers[0] == answers[1]

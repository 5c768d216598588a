"""What is this request? Requests outside of calls, refusals before any call, and what each of them is answered."""

from __future__ import annotations

import re

import pytest

from engine.calls.switchboard import Limits
from engine.numbering.binding import Model
from tests.simulation.engine import pstn
from tests.simulation.scene import BOB, A, B, Scene, X, expect
from tests.simulation.stranger import Stranger

ALLOWED = "INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO"


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.fixture
def stranger(scene: Scene) -> Stranger:
    return Stranger(scene.world)


# --- OPTIONS, and methods that are not spoken ---


def test_options(scene: Scene) -> None:
    asking = scene.alice.options()
    scene.run(0.1)
    (answer,) = asking.responses
    assert (answer.status, answer.value("allow"), answer.value("accept")) == (200, ALLOWED, "application/sdp")
    assert answer.to_tag
    scene.close()
    assert scene.engine.records.ends == []


def test_options_while_draining(scene: Scene) -> None:
    scene.engine.switchboard.drain()
    asking = scene.alice.options()
    scene.run(0.1)
    (answer,) = asking.responses
    assert (answer.status, answer.value("retry-after")) == (503, "5")
    scene.close()


def test_options_with_an_extension_that_nobody_knows(scene: Scene) -> None:
    asking = scene.alice.options("Require: canary-alice\r\n")
    scene.run(0.1)
    (answer,) = asking.responses
    assert (answer.status, answer.value("unsupported")) == (420, "canary-alice")
    scene.close()


@pytest.mark.parametrize(
    ("method", "status"),
    [
        *((method, 405) for method in ("REGISTER", "REFER", "SUBSCRIBE", "NOTIFY", "PUBLISH", "MESSAGE")),
        *((method, 481) for method in ("BYE", "INFO", "UPDATE", "PRACK")),
        ("FROBNICATE", 501),
        ("invite", 501),  # methods are case-sensitive (RFC 3261 7.1)
    ],
)
def test_methods_outside_of_dialogs(scene: Scene, method: str, status: int) -> None:
    asking = scene.alice.ask(method)
    scene.run(0.1)
    (answer,) = asking.responses
    assert answer.status == status
    if status != 481:
        assert answer.value("allow") == ALLOWED
    scene.close()
    assert scene.engine.records.ends == []


@pytest.mark.parametrize("method", ["BYE", "INVITE", "OPTIONS", "INFO", "REFER", "UPDATE", "FROBNICATE"])
def test_an_unknown_dialog(scene: Scene, stranger: Stranger, method: str) -> None:
    stranger.request(method, to=f"<sip:{X}@127.0.0.9>;tag=nobody-gave-this")
    scene.run(0.1)
    assert stranger.statuses() == [481]
    assert stranger.heard[0].count(";tag=") == 2
    if method == "INVITE":
        stranger.request("ACK", to=f"<sip:{X}@127.0.0.9>;tag=nobody-gave-this")
    scene.close()
    assert scene.engine.records.ends == []


def test_an_ack_that_fits_nothing_is_dropped(scene: Scene, stranger: Stranger) -> None:
    stranger.request("ACK")
    stranger.request("ACK", to="<sip:x@y>;tag=nobody")
    scene.run(1)
    assert stranger.heard == []
    scene.close()


# --- INVITEs that are no calls ---


@pytest.mark.parametrize(
    ("lines", "body", "status", "says"),
    [
        (("Content-Type: text/plain",), "hello", 415, "Accept: application/sdp"),
        (("Content-Type: application/ISUP",), "hello", 415, "Accept: application/sdp"),
        (("Content-Type: application/sdp",), "hello", 400, ""),
        (("Content-Type: multipart/mixed",), "hello", 400, ""),
        (
            ("Content-Type: application/sdp", "Content-Encoding: gzip"),
            "v=0",
            415,
            "Accept-Encoding: identity",
        ),
        (("Require: replaces",), "", 420, "Unsupported: replaces"),
        (("Require: a, b", "Require: c"), "", 420, "Unsupported: a, b, c"),
    ],
)
def test_an_invite_that_cannot_be_understood(
    scene: Scene, stranger: Stranger, lines: tuple[str, ...], body: str, status: int, says: str
) -> None:
    stranger.request("INVITE", *lines, body=body)
    scene.run(0.1)
    assert stranger.statuses() == [status]
    assert says in stranger.heard[0]
    acknowledge(stranger)
    expect(scene.finish(), reason="malformed", attempts=1, sip_status=status, source="127.0.5.55")
    assert scene.bob.calls == []


def test_an_invite_without_contact(scene: Scene, stranger: Stranger) -> None:
    stranger.request("INVITE", contact=False)
    scene.run(0.1)
    assert stranger.statuses() == [400]
    acknowledge(stranger)
    expect(scene.finish(), reason="malformed", sip_status=400)


@pytest.mark.parametrize("contact", ["*", "<mailto:a@b>", "<http://a.b/c>"])
def test_a_contact_that_leads_nowhere(scene: Scene, stranger: Stranger, contact: str) -> None:
    stranger.request("INVITE", f"Contact: {contact}", contact=False)
    scene.run(0.1)
    assert stranger.statuses() == [400]
    acknowledge(stranger)
    expect(scene.finish(), reason="malformed", sip_status=400)


@pytest.mark.parametrize(
    ("uri", "version", "cseq", "status"),
    [
        ("http://x.y/z", "SIP/2.0", "1 INVITE", 416),
        (f"sip:{X}@h", "SIP/3.0", "1 INVITE", 505),
        (f"sip:{X}@h", "SIP/2.0", "1 BYE", 400),
        (f"sip:{X}@h", "SIP/2.0", "99999999999 INVITE", 400),
        ("sip:700 1@h", "SIP/2.0", "1 INVITE", 400),
    ],
)
def test_malformed_requests_are_answered_and_counted(
    scene: Scene, stranger: Stranger, uri: str, version: str, cseq: str, status: int
) -> None:
    stranger.send(
        f"INVITE {uri} {version}\r\nVia: SIP/2.0/UDP 127.0.5.55:5066;branch=z9hG4bKbad\r\n"
        f"From: <sip:{A}@h>;tag=f\r\nTo: <sip:{X}@h>\r\nCall-ID: bad\r\nCSeq: {cseq}\r\n"
        "Contact: <sip:h>\r\nContent-Length: 0\r\n\r\n"
    )
    scene.run(0.1)
    assert stranger.statuses() == [status]
    assert sum(scene.engine.tally.malformed_messages.values()) == 1
    expect(scene.finish(), reason="malformed", disposition="refused", sip_status=status, in_trunk="pstn")


def test_malformed_invites_are_summed_up(scene: Scene, stranger: Stranger) -> None:
    """One record per second and trunk; a status that they do not share is left out."""
    for number in range(3):
        stranger.request("INVITE", "Require: x", branch=f"z9hG4bK{number}", call_id=f"{number}")
    scene.run(1.5)
    expect(scene.record, reason="malformed", attempts=3, sip_status=420, q850_cause=None)
    stranger.request("INVITE", "Require: x", branch="z9hG4bKfour", call_id="four")
    stranger.request("INVITE", branch="z9hG4bKfive", call_id="five", contact=False)
    scene.run(0.1)
    assert 400 in stranger.statuses()
    scene.run(1.5)
    expect(scene.engine.records.ends[-1], reason="malformed", attempts=2, sip_status=None)
    assert scene.engine.tally.calls == {("none", "refused", "malformed"): 5}


def test_other_malformed_requests_are_no_attempts(scene: Scene, stranger: Stranger) -> None:
    stranger.request("OPTIONS", "Max-Forwards: many")
    stranger.request("INVITE", "Max-Forwards: many", to="<sip:x@y>;tag=in-a-dialog", branch="z9hG4bKtwo")
    scene.run(0.1)
    assert stranger.statuses() == [400, 400]
    scene.close()
    assert scene.engine.records.ends == []


def acknowledge(stranger: Stranger, branch: str = "z9hG4bKone") -> None:
    """The ACK to its failed INVITE, in the same transaction (RFC 3261 17.1.1.3)."""
    final = next(text for text in reversed(stranger.heard) if re.match(r"SIP/2\.0 [3-6]", text))
    to = re.findall(r"^To: (.*)\r$", final, re.MULTILINE)[0]
    stranger.request("ACK", to=to, branch=branch, contact=False)
    stranger.world.run(0.1)


# --- repeats ---


def test_an_invite_that_comes_again_is_one_call_at_every_point(scene: Scene, stranger: Stranger) -> None:
    """The last answer again, and no second call, while it rings, after a failure, and after a 2xx nothing."""
    stranger.request("INVITE")
    scene.run(0.1)
    stranger.request("INVITE")
    scene.run(0.1)
    assert stranger.statuses() == [100, 100]
    scene.ringing.ring(180)
    scene.run(0.1)
    stranger.request("INVITE")
    scene.run(0.1)
    assert stranger.statuses() == [100, 100, 180, 180]
    scene.ringing.answer()
    scene.run(0.1)
    stranger.request("INVITE")
    scene.run(0.1)
    assert stranger.statuses() == [100, 100, 180, 180, 200]  # its 200 is repeated by its own timer
    to = re.findall(r"^To: (.*)\r$", stranger.heard[-1], re.MULTILINE)[0]
    stranger.request("ACK", to=to, branch="z9hG4bKack", contact=False)
    scene.run(0.1)
    stranger.request("INVITE")
    scene.run(1)
    assert stranger.statuses() == [100, 100, 180, 180, 200]
    stranger.request("BYE", to=to, branch="z9hG4bKbye", cseq=2, contact=False)
    scene.run(0.1)
    assert len(scene.bob.calls) == 1
    expect(scene.finish(), reason="normal", released_by="caller")


def test_an_invite_that_comes_again_after_its_failure(scene: Scene, stranger: Stranger) -> None:
    stranger.request("INVITE")
    scene.run(0.1)
    scene.ringing.reject(486)
    scene.run(0.1)
    stranger.request("INVITE")
    scene.run(0.1)
    assert stranger.statuses() == [100, 486, 486]
    acknowledge(stranger)
    stranger.request("INVITE")
    scene.run(1)
    assert stranger.statuses() == [100, 486, 486]
    assert len(scene.bob.calls) == 1
    scene.finish()


def test_a_failure_is_repeated_until_its_ack(scene: Scene, stranger: Stranger) -> None:
    """Timer G (RFC 3261 17.2.1), ended by timer H."""
    stranger.request("INVITE", uri="sip:700100000000099@h")
    scene.run(40)
    assert set(stranger.statuses()) == {404}
    assert len(stranger.statuses()) == 11
    scene.finish()


def test_merged_requests(scene: Scene, stranger: Stranger) -> None:
    """RFC 3261 8.2.2.2: the same INVITE by another way, while the first is open, is 482."""
    stranger.request("INVITE")
    scene.run(0.1)
    stranger.request("INVITE", branch="z9hG4bKother")
    scene.run(0.1)
    assert stranger.statuses() == [100, 482]
    acknowledge(stranger, "z9hG4bKother")
    assert len(scene.bob.calls) == 1
    # Another CSeq, tag or Call-ID is another request.
    stranger.request("INVITE", branch="z9hG4bKthird", cseq=2)
    stranger.request("INVITE", branch="z9hG4bKfourth", call_id="other")
    stranger.request("INVITE", branch="z9hG4bKfifth", from_=f"<sip:{A}@h>;tag=other")
    scene.run(0.1)
    assert len(scene.bob.calls) == 4
    for call in scene.bob.calls:
        call.reject(486)
    scene.run(0.1)
    # They are refused, but known as long as their transactions live; after that the same is an attempt of its own.
    stranger.request("INVITE", branch="z9hG4bKsixth")
    scene.run(0.1)
    assert stranger.statuses()[-1] == 482
    assert len(scene.bob.calls) == 4
    scene.run(40)
    stranger.request("INVITE", branch="z9hG4bKseventh")
    scene.run(0.1)
    assert len(scene.bob.calls) == 5
    scene.bob.calls[-1].reject(486)
    scene.close()
    reasons = [record.reason for record in scene.engine.records.ends]
    assert sorted(word for word in reasons if word) == ["callee_busy"] * 5 + ["malformed"]


@pytest.mark.parametrize("first", ["no such number", "extension", "session"])
def test_merged_with_one_that_was_refused(scene: Scene, stranger: Stranger, first: str) -> None:
    """One attempt by two ways is one refusal for what it is, and 482 (RFC 3261 8.2.2.2)."""
    lines = ("Require: x",) if first == "extension" else ()
    body = "v=1" if first == "session" else ""
    kind = ("Content-Type: application/sdp",) if body else ()
    uri = "sip:700100000000099@h" if first == "no such number" else "sip:700100000000001@h"
    for branch in ("z9hG4bKone", "z9hG4bKtwo"):
        stranger.request("INVITE", *lines, *kind, uri=uri, branch=branch, body=body)
    scene.run(0.1)
    assert sorted(stranger.statuses()) == [{"n": 404, "e": 420, "s": 400}[first[0]], 482]
    scene.close()
    attempts = {record.reason: record.attempts for record in scene.engine.records.ends}
    assert attempts == ({"not_bound": 1, "malformed": 1} if first[0] == "n" else {"malformed": 2})


# --- where answers go (RFC 3261 18.2.2, RFC 3581) ---


@pytest.mark.parametrize(
    ("via", "port"),
    [
        ("Via: SIP/2.0/UDP 127.0.5.55:5066;branch=z9hG4bKx", 5066),
        ("Via: SIP/2.0/UDP 127.0.5.55:7777;branch=z9hG4bKx", 7777),
        ("Via: SIP/2.0/UDP 127.0.5.55;branch=z9hG4bKx", 5060),
        ("Via: SIP/2.0/UDP 127.0.5.55:7777;branch=z9hG4bKx;rport", 5066),
        ("Via: SIP/2.0/UDP phones.example:7777;branch=z9hG4bKx", 7777),
        ("Via: SIP/2.0/UDP phones.example:7777;rport;branch=z9hG4bKx", 5066),
        ("Via: SIP/2.0/UDP 10.9.8.7:7777;branch=z9hG4bKx;maddr=10.1.1.1;received=10.2.2.2", 7777),
    ],
)
def test_answers_go_to_the_source(scene: Scene, stranger: Stranger, via: str, port: int) -> None:
    """Its address always, its port where rport asks for it, else the port of the Via."""
    stranger.request("OPTIONS", via=via)
    scene.run(0.1)
    (answer,) = [passed for passed in scene.world.log if passed.start.startswith("SIP/2.0")]
    assert answer.target == ("127.0.5.55", port)
    returned = re.findall(r"^Via: (.*)\r$", answer.text, re.MULTILINE)[0]
    assert ("received=127.0.5.55" in returned) == ("127.0.5.55" not in via or "rport" in via)
    assert ("rport=5066" in returned) == ("rport" in via)
    scene.close()


def test_a_symmetric_trunk_gets_answers_at_its_source_port() -> None:
    scene = Scene(trunk={"symmetric": True})
    stranger = Stranger(scene.world)
    stranger.request("OPTIONS", via="Via: SIP/2.0/UDP 127.0.5.55:7777;branch=z9hG4bKx")
    scene.run(0.1)
    assert stranger.statuses() == [200]
    scene.close()


def test_messages_are_counted_by_trunk() -> None:
    scene = Scene()
    call, _ = scene.talk()
    call.hang_up()
    scene.finish()
    tally = scene.engine.tally
    assert tally.requests == {
        ("INVITE", "in", "pstn"): 1,
        ("INVITE", "out", "pstn"): 1,
        ("ACK", "in", "pstn"): 1,
        ("ACK", "out", "pstn"): 1,
        ("BYE", "in", "pstn"): 1,
        ("BYE", "out", "pstn"): 1,
    }
    assert tally.responses[("INVITE", "200", "in", "pstn")] == 1
    assert tally.responses[("INVITE", "200", "out", "pstn")] == 1
    assert tally.retransmissions == {}


# --- authorization's first step, and what comes before it ---


def test_an_unknown_source_is_refused_and_summed_up() -> None:
    """403; one record per second, trunk and reason, however many attempts."""
    scene = Scene(trunks=[pstn(BOB, peers=["127.0.2.0/24"])])
    calls = [scene.alice.call(X) for _ in range(7)]
    scene.run(0.5)
    assert {call.status for call in calls} == {403}
    assert scene.engine.records.ends == []
    scene.run(0.6)
    expect(
        scene.record, attempts=7, reason="unknown_source", disposition="refused", sip_status=403, q850_cause=21,
        in_trunk=None, source="127.0.1.11", caller=None, dialled=None, a_call_id=None, released_by="platform",
    )  # fmt: skip
    late = scene.alice.call(X)
    scene.run(3)
    assert late.status == 403
    assert [record.attempts for record in scene.engine.records.ends] == [7, 1]
    assert scene.engine.tally.calls == {("none", "refused", "unknown_source"): 8}
    assert "Reason: Q.850;cause=21\r\n" in scene.last_to(scene.alice, "SIP/2.0 403")


def test_sources_of_a_flood_are_kept_only_when_they_are_one() -> None:
    scene = Scene(trunks=[pstn(BOB, peers=["127.0.2.0/24"])])
    other = Stranger(scene.world)
    scene.alice.call(X)
    other.request("INVITE")
    scene.run(2)
    expect(scene.record, attempts=2, source=None)


def test_other_requests_of_an_unknown_source() -> None:
    scene = Scene(trunks=[pstn(BOB, peers=["127.0.2.0/24"])])
    asked = [scene.alice.ask(method) for method in ("OPTIONS", "REGISTER", "MESSAGE")]
    scene.run(0.1)
    assert [asking.status for asking in asked] == [403, 403, 403]
    assert scene.engine.records.ends == []


def test_a_disabled_trunk_may_not_originate() -> None:
    scene = Scene(trunks=[pstn(BOB, enabled=False)])
    call = scene.dial(seconds=1.5)
    assert call.status == 403
    expect(scene.record, reason="unknown_source", in_trunk="pstn", attempts=1)


def test_too_many_calls() -> None:
    """503 with Retry-After; one record per second; calls in progress go on."""
    scene = Scene(limits=Limits(max_calls=1, retry_after_s=7))
    call, _ = scene.talk()
    refused = [scene.alice.call(X) for _ in range(3)]
    scene.run(1.5)
    assert {item.status for item in refused} == {503}
    answer = refused[0].heard.responses[-1]
    assert (answer.value("retry-after"), answer.value("reason")) == ("7", "Q.850;cause=42")
    expect(
        scene.record, reason="overload", attempts=3, in_trunk="pstn", disposition="refused", sip_status=503
    )
    assert scene.engine.tally.overloads == {"calls": 3}
    assert not call.over
    call.hang_up()
    scene.run(1)
    again, _ = scene.talk()
    again.hang_up()
    scene.run(1)


def test_too_many_transactions() -> None:
    scene = Scene(limits=Limits(max_transactions=3))
    call, _ = scene.talk()
    refused = [scene.alice.call(X) for _ in range(3)]
    scene.run(1.5)
    assert 503 in {item.status for item in refused}
    assert scene.engine.tally.overloads["transactions"] >= 1
    call.hang_up()
    scene.run(1)


def test_the_bound_on_transactions_is_for_every_kind(scene: Scene, stranger: Stranger) -> None:
    """But a call can still be cancelled or hung up."""
    call, _ = scene.talk()
    scene.engine.switchboard.limits = Limits(max_transactions=1)
    stranger.request("OPTIONS")
    stranger.request("INVITE", branch="z9hG4bKtwo")
    stranger.request("BYE", to="<sip:a@x>;tag=none", branch="z9hG4bKthree")
    scene.run(0.1)
    assert stranger.statuses() == [503, 503, 503]
    assert "Retry-After: 5\r\n" in stranger.last()
    assert scene.engine.tally.overloads == {"transactions": 3}
    call.hang_up()
    scene.run(1)
    assert call.over


def test_a_full_engine_still_hears_a_cancel(scene: Scene) -> None:
    call = scene.alice.call(X)
    scene.run(0.2)
    scene.engine.switchboard.limits = Limits(max_transactions=1)
    call.cancel()
    scene.run(1)
    assert call.status == 487


def test_records_that_cannot_be_kept_let_no_call_begin() -> None:
    scene = Scene()
    scene.engine.records.accepting = False
    call = scene.dial()
    assert call.status == 503
    answer = call.heard.responses[-1]
    assert (answer.value("retry-after"), answer.value("reason")) == ("5", "Q.850;cause=41")
    assert scene.bob.calls == []
    scene.run(2)
    expect(scene.record, reason="store_unavailable", attempts=1)


def test_draining_refuses_new_calls_and_keeps_the_others() -> None:
    scene = Scene()
    call, callee = scene.talk()
    scene.engine.switchboard.drain()
    refused = scene.dial()
    assert refused.status == 503
    answer = refused.heard.responses[-1]
    assert (answer.value("retry-after"), answer.value("reason")) == ("5", "Q.850;cause=42")
    assert call.reinvite()
    scene.run(0.5)
    assert call.reinvite_statuses == [200]
    callee.hang_up()
    scene.close()
    assert [record.reason for record in scene.engine.records.ends] == ["draining", "normal"]


@pytest.mark.parametrize("what", ["extension", "session", "contact", "merely"])
def test_draining_goes_before_all_else(scene: Scene, stranger: Stranger, what: str) -> None:
    """503 whatever else is wrong with it, so that the upstream tries another engine."""
    scene.engine.switchboard.drain()
    lines = {"extension": ("Require: x",), "session": ("Content-Type: text/plain",)}.get(what, ())
    stranger.request("INVITE", *lines, body="hello" if what == "session" else "", contact=what != "contact")
    scene.run(2)
    assert stranger.statuses()[0] == 503
    assert "Retry-After: 5\r\nReason: Q.850;cause=42\r\n" in stranger.heard[0]
    expect(scene.record, reason="draining", attempts=1, in_trunk="pstn", sip_status=503)


def test_draining_is_said_to_an_unknown_source_too() -> None:
    """And summed up, as all that comes from there."""
    scene = Scene(trunks=[pstn(BOB, peers=["127.0.2.0/24"])])
    scene.engine.switchboard.drain()
    calls = [scene.alice.call(X) for _ in range(3)]
    scene.run(1.5)
    assert {call.status for call in calls} == {503}
    assert calls[0].heard.responses[-1].value("retry-after") == "5"
    expect(scene.record, reason="draining", attempts=3, in_trunk=None, q850_cause=42)


def test_what_was_counted_is_written_at_the_end() -> None:
    scene = Scene(trunks=[pstn(BOB, peers=["127.0.2.0/24"])])
    scene.dial()
    assert scene.engine.records.ends == []
    scene.engine.switchboard.close(scene.world.now)
    expect(scene.record, reason="unknown_source")


def test_max_forwards_used_up(scene: Scene, stranger: Stranger) -> None:
    stranger.request("INVITE", "Max-Forwards: 0")
    scene.run(0.1)
    assert stranger.statuses() == [483]
    assert "Reason: Q.850;cause=25\r\n" in stranger.heard[0]
    acknowledge(stranger)
    expect(scene.finish(), reason="loop", disposition="refused", sip_status=483, q850_cause=25)


# --- interconnection ---


@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize("number_format", ["national", "e164"])
def test_another_carriers_number(trusted: bool, number_format: str) -> None:
    """Routed by prefix, untranslated; the caller asserted to a trusted trunk only, and anonymous in From."""
    other = pstn(BOB, name="carrier", prefixes=["7002"], trust_identity=trusted, number_format=number_format)
    scene = Scene(trunks=[pstn(prefixes=[], next_hops=[]), other], rows=("diversion", "passport"))
    number = "700212345678901"
    # The asserted identity crosses here on purpose, and only here.
    scene.alice.canaries.allow(A)
    call = scene.dial(number)
    invite = scene.ringing.invite
    dialled = number if number_format == "national" else f"+86{number}"
    assert invite.uri == f"sip:{dialled}@{BOB[0]}:{BOB[1]}"
    assert invite.value("from").startswith('"Anonymous" <sip:anonymous@anonymous.invalid>;tag=')
    caller = A if number_format == "national" else f"+86{A}"
    asserted = f"<sip:{caller}@127.0.0.9>" if trusted else ""
    assert invite.value("p-asserted-identity") == asserted
    assert invite.value("privacy") == ("id" if trusted else "")
    scene.ringing.answer()
    scene.run(0.1)
    call.hang_up()
    scene.run(1)
    for passed in scene.sent_to(scene.bob):
        assert (A in passed.text) == (trusted and passed.start.startswith("INVITE"))
    expect(
        scene.record, reason="normal", callee=None, shown=None, model=None, binding_id=None, dialled=number,
        caller=f"+86{A}", in_trunk="pstn", out_trunk="carrier", direction=None,
    )  # fmt: skip


def test_an_untrusted_callers_identity_is_not_believed() -> None:
    scene = Scene(trunk={"trust_identity": False})
    call = scene.dial()
    assert call.status == 403
    expect(scene.finish(), reason="unverified", caller=None, dialled=X, q850_cause=21)


def test_the_asserted_identity_counts_not_from(scene: Scene) -> None:
    """From is what the phone says of itself; P-Asserted-Identity what the trusted network says of it."""
    scene.engine.table.add(Model.AXB, "700100000000005", "13700000007", B)
    call = scene.dial("700100000000005", headers="P-Asserted-Identity: <tel:+8613700000007>\r\n")
    scene.ringing.reject(486)
    scene.run(0.1)
    assert call.status == 486
    expect(scene.finish(), caller="+8613700000007", reason="callee_busy")

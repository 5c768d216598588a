"""401 and 407 of the callee's side are settled on its leg where the trunk has credentials (RFC 3261 22)."""

from __future__ import annotations

import pytest

from tests.simulation.by_hand import ByHand, body, header, sdp
from tests.simulation.scene import expect

CHALLENGE = 'Digest realm="carrier", nonce="{nonce}", algorithm=SHA-256, qop="auth"{more}'


def challenged(call: ByHand, status: int, nonce: str, more: str = "") -> str:
    name = "Proxy-Authenticate" if status == 407 else "WWW-Authenticate"
    call.bob.answer(call.invite, status, f"{name}: {CHALLENGE.format(nonce=nonce, more=more)}")
    call.run()
    return call.invite


def with_credentials() -> ByHand:
    call = ByHand()
    trunk = call.scene.engine.switchboard.trunks.trunks[0]
    trunk.username, trunk.password = "mask700", "secret"
    return call


@pytest.mark.parametrize(("status", "name"), [(401, "Authorization"), (407, "Proxy-Authorization")])
def test_a_challenge_is_answered_and_the_caller_hears_nothing_of_it(status: int, name: str) -> None:
    call = with_credentials()
    first = call.dial("Supported: 100rel", offer=sdp(4000))
    second = challenged(call, status, "n1")
    assert second != first
    assert header(second, "CSeq") == "2 INVITE"
    assert header(second, "Call-ID") == header(first, "Call-ID")
    assert body(second) == body(first)
    assert 'username="mask700"' in header(second, name)
    assert "secret" not in second
    ok = call.ring(200, session=sdp(5000))
    call.ack(ok)
    assert [text[8:11] for text in call.alice.heard if text.startswith("SIP")] == ["100", "200"]
    # What follows in the dialog brings the credentials along, ACK too (22.1), with a count that rises.
    assert "nc=00000002" in header(call.bob.last("ACK"), name)
    call.hang_up(ok)
    assert "nc=00000003" in header(call.bob.last("BYE"), name)
    assert name not in call.alice.last("SIP/2.0 200")
    expect(call.scene.record, reason="normal")


def test_the_same_credentials_are_not_tried_twice() -> None:
    call = with_credentials()
    call.dial(offer=sdp(4000))
    second = challenged(call, 401, "n1")
    assert challenged(call, 401, "n2") == second
    assert call.alice.last().startswith("SIP/2.0 500 ")
    assert header(call.alice.last(), "WWW-Authenticate") == ""


def test_a_stale_nonce_is_replaced_once() -> None:
    call = with_credentials()
    call.dial(offer=sdp(4000))
    challenged(call, 401, "n1")
    third = challenged(call, 401, "n2", ", stale=true")
    assert 'nonce="n2"' in header(third, "Authorization")
    assert third.count("Authorization:") == 1
    assert challenged(call, 401, "n3", ", stale=true") == third  # enough is enough
    assert call.alice.last().startswith("SIP/2.0 500 ")


def test_without_credentials_it_is_a_failure() -> None:
    call = ByHand()
    first = call.dial(offer=sdp(4000))
    assert challenged(call, 407, "n1") == first
    assert call.alice.last().startswith("SIP/2.0 500 ")
    expect(call.scene.record, sip_status=500, disposition="failed")


# --- within the call ---

ALLOW = "Allow: INVITE, ACK, BYE, CANCEL, PRACK, UPDATE, INFO"


def again(call: ByHand, nonce: str, method: str = "", status: int = 407) -> str:
    """B challenges the last request with that nonce; what it hears then."""
    name = "Proxy-Authenticate" if status == 407 else "WWW-Authenticate"
    call.bob.answer(call.bob.last(method), status, f"{name}: {CHALLENGE.format(nonce=nonce, more='')}")
    call.run()
    return call.bob.last(method)


def nonce_of(text: str) -> str:
    return header(text, "Proxy-Authorization").partition('nonce="')[2].partition('"')[0]


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("method", ["UPDATE", "INFO", "INVITE"])
def test_a_request_within_the_call_is_sent_once_more(method: str, before: bool) -> None:
    """Whether the first INVITE was challenged, with a nonce that is too old by now, or not."""
    call = with_credentials()
    call.dial(ALLOW, offer=sdp(4000))
    if before:
        challenged(call, 407, "n1")
    ok = call.ring(200, ALLOW, session=sdp(5000))
    call.ack(ok)
    call.ask_a(method, ok, session="" if method == "INFO" else sdp(4444))
    first = call.bob.last(method)
    assert nonce_of(first) == ("n1" if before else "")
    second = again(call, "n2", method)
    assert nonce_of(second) == "n2"
    assert second.count("Proxy-Authorization") == 1
    assert int(header(second, "CSeq").split()[0]) == int(header(first, "CSeq").split()[0]) + 1
    assert body(second) == body(first)
    kind = () if method == "INFO" else ("Content-Type: application/sdp",)
    call.bob.answer(second, 200, *kind, body="" if method == "INFO" else sdp(5555))
    call.run()
    answer = call.alice.last("SIP/2.0 200")
    assert header(answer, "CSeq") == f"2 {method}"
    assert "uthenticate" not in answer
    if method == "INVITE":
        call.ack(answer)
        assert header(call.bob.last("ACK"), "CSeq").split()[0] == header(second, "CSeq").split()[0]
    call.hang_up(ok)
    assert nonce_of(call.bob.last("BYE")) == "n2"
    expect(call.scene.record, reason="normal")


def test_a_bye_that_is_challenged_is_said_again() -> None:
    """Else the callee would go on talking to nobody."""
    call = with_credentials()
    ok = call.talk()
    call.ask_a("BYE", ok)
    call.run()
    first = call.bob.last("BYE")
    second = again(call, "n1", "BYE")
    assert second != first
    assert nonce_of(second) == "n1"
    assert again(call, "n2", "BYE") == second  # once
    call.run(70)
    assert call.scene.engine.board.legs == {}
    assert call.scene.engine.endpoint.transactions_active == 0
    expect(call.scene.record, reason="normal", released_by="caller")


@pytest.mark.parametrize("method", ["UPDATE", "INVITE"])
def test_a_refresh_that_is_challenged_is_sent_once_more(method: str) -> None:
    call = with_credentials()
    call.scene.engine.board.settings.session_expires_s = 600
    ok = call.talk(ALLOW, answer=(ALLOW,) if method == "UPDATE" else ())
    call.run(300)
    call.alice.answer(call.alice.last("UPDATE"), 200, "Session-Expires: 600;refresher=uac")
    first = call.bob.last(method)
    second = again(call, "n1", method)
    assert (second != first, nonce_of(second)) == (True, "n1")
    kind = ("Content-Type: application/sdp",) if method == "INVITE" else ()
    call.bob.answer(
        second, 200, "Session-Expires: 600;refresher=uac", *kind, body=sdp(5000) if method == "INVITE" else ""
    )
    call.run(298)
    assert not [text for text in call.bob.heard if text.startswith("BYE")]
    assert call.bob.last(method) == second
    call.hang_up(ok)
    call.run(70)


@pytest.mark.parametrize("method", ["UPDATE", "INVITE"])
def test_a_second_challenge_is_a_failure(method: str) -> None:
    call = with_credentials()
    ok = call.talk(ALLOW, answer=(ALLOW,))
    call.ask_a(method, ok, session=sdp(4444))
    second = again(call, "n1", method)
    assert again(call, "n2", method) == second
    assert header(call.alice.last("SIP/2.0 500"), "CSeq") == f"2 {method}"
    call.hang_up(ok)


def test_a_reinvite_that_was_cancelled_is_not_sent_again() -> None:
    call = with_credentials()
    ok = call.talk()
    call.ask_a("INVITE", ok, session=sdp(4444))
    first = call.invite
    call.alice.request(
        "CANCEL", branch="z9hG4bKaliceINVITE2", cseq=2, to=header(ok, "To"), call_id="by-hand", contact=False,
        from_=header(ok, "From"),
    )  # fmt: skip
    call.run()
    assert again(call, "n1", "INVITE") == first
    assert call.alice.last("SIP/2.0 500")
    call.hang_up(ok)


def test_without_credentials_a_challenge_within_the_call_is_a_failure() -> None:
    call = ByHand()
    ok = call.talk(ALLOW, answer=(ALLOW,))
    call.ask_a("UPDATE", ok, session=sdp(4444))
    first = call.bob.last("UPDATE")
    assert again(call, "n1", "UPDATE", 401) == first
    assert header(call.alice.last("SIP/2.0 500"), "CSeq") == "2 UPDATE"
    call.hang_up(ok)


def test_an_interval_that_is_too_short_after_a_challenge_counts_on() -> None:
    """A nonce count is never used twice (RFC 7616 3.4)."""
    call = with_credentials()
    call.dial(offer=sdp(4000))
    challenged(call, 407, "n1")
    call.bob.answer(call.invite, 422, "Min-SE: 3600")
    call.run()
    third = call.invite
    assert header(third, "CSeq") == "3 INVITE"
    assert header(third, "Session-Expires") == "3600"
    assert "nc=00000002" in header(third, "Proxy-Authorization")
    assert third.count("Proxy-Authorization") == 1
    call.ring(486)


@pytest.mark.parametrize("rings", [True, False])
def test_the_cancel_of_an_invite_that_began_anew_waits_for_its_own_provisional_response(rings: bool) -> None:
    """RFC 3261 9.1: what came back for the first one says nothing of the second."""
    call = with_credentials()
    call.dial("Supported: 100rel", offer=sdp(4000))
    call.ring(180)
    second = challenged(call, 407, "n1")
    call.alice.request("CANCEL", branch="z9hG4bKone", contact=False)
    call.run(1)
    assert call.alice.last("SIP/2.0 487")
    assert not [text for text in call.bob.heard if text.startswith("CANCEL")]
    if rings:
        call.bob.answer(second, 180, tag="b")
        call.run(1)
        assert header(call.bob.last("CANCEL"), "CSeq") == "2 CANCEL"
    call.run(70)
    assert call.scene.engine.board.legs == {}
    assert call.scene.engine.endpoint.transactions_active == 0

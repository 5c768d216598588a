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

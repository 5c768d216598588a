"""What a side is told of the other's session when the engine itself asks: what stands, and what is new, no more."""

from __future__ import annotations

import pytest

from engine.calls.session import SessionOrigin, streams
from engine.calls.settings import CallSettings
from tests.simulation.by_hand import KIND, ByHand, body, header, sdp
from tests.simulation.scene import expect

ALLOW = "Allow: INVITE, ACK, BYE, CANCEL, UPDATE"
OURS = "Session-Expires: 600;refresher=uac"
HELD = sdp(4000) + "a=sendonly\r\n"


def media(text: str) -> str:
    return body(text).partition("\r\nm=")[2].split(" ")[1]


def version(text: str) -> int:
    return int(body(text).partition("o=- ")[2].split(" ")[1])


def refreshed(answer_of_a: str, answer_of_b: str) -> tuple[ByHand, str]:
    """A call whose both sides have been refreshed by re-INVITE, and have answered so."""
    call = ByHand(settings=CallSettings(session_expires_s=600))
    ok = call.talk()
    call.run(300)
    assert media(call.alice.last("INVITE")) == "5000"
    assert media(call.invite) == "4000"
    call.alice.answer(call.alice.last("INVITE"), 200, OURS, KIND, body=answer_of_a)
    call.bob.answer(call.invite, 200, OURS, KIND, body=answer_of_b)
    call.run()
    return call, ok


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_an_offer_that_was_refused_is_not_repeated(method: str) -> None:
    """B refused A's new session, so the old one stands; a refresh brings that one (RFC 3261 14.1)."""
    call = ByHand(settings=CallSettings(session_expires_s=600))
    ok = call.talk(ALLOW)
    first = call.invite
    call.run(200)
    call.ask_a(method, ok, session=sdp(4444))
    refused = call.bob.last(method)
    call.bob.answer(refused, 488)
    call.run(101)
    refresh = call.invite
    assert [media(text) for text in (first, refused, refresh)] == ["4000", "4444", "4000"]
    # Each body differs from the one before.
    assert [version(text) for text in (first, refused, refresh)] == [1, 2, 3]
    call.hang_up(ok)
    call.run(70)


def test_what_an_origin_says_again() -> None:
    origin = SessionOrigin(7, "h")
    assert origin.again() == ""
    for text in ("a", "b"):
        origin.write(text)
    assert origin.again().endswith("b")
    origin.write("c")
    origin.take_back()
    assert origin.again().endswith("b")
    copy = origin.copy()
    assert copy.again() == origin.again()
    origin.write("")
    assert origin.again().endswith("b")


def test_whose_answer_to_a_refresh_is_what_it_was_changes_nothing() -> None:
    call, ok = refreshed(sdp(4000), sdp(5000))
    call.run(290)
    assert len([text for text in call.bob.heard if text.startswith("INVITE")]) == 2
    call.hang_up(ok)
    call.run(70)


@pytest.mark.parametrize("by", ["a", "b"])
def test_the_other_side_hears_of_a_session_that_a_refresh_has_changed(by: str) -> None:
    answers = (HELD.replace("4000", "4002"), sdp(5000)) if by == "a" else (sdp(4000), sdp(5002))
    call, ok = refreshed(*answers)
    who, other = (call.alice, call.bob) if by == "a" else (call.bob, call.alice)
    news = other.last("INVITE")
    assert media(news) == ("4002" if by == "a" else "5002")
    assert ("a=sendonly" in body(news)) is (by == "a")
    assert header(news, "Session-Expires") == "600;refresher=uac"
    told = sum(text.startswith("INVITE") for text in who.heard)
    other.answer(news, 200, OURS, KIND, body=sdp(5000) if by == "a" else sdp(4000))
    call.run()
    assert other.last("ACK")
    assert sum(text.startswith("INVITE") for text in who.heard) == told
    call.hang_up(ok)
    expect(call.scene.record, reason="normal")
    call.run(70)
    assert call.scene.engine.board.legs == {}


def test_sides_that_never_say_the_same_twice_are_not_asked_without_end() -> None:
    call, ok = refreshed(sdp(4002), sdp(5000))
    port = 6000
    for _ in range(10):
        for who in (call.alice, call.bob):
            asked = who.last("INVITE") if any(text.startswith("INVITE") for text in who.heard) else ""
            if asked and header(asked, "CSeq") not in [
                header(text, "CSeq").replace("ACK", "INVITE") for text in who.heard if text.startswith("ACK")
            ]:
                port += 2
                who.answer(asked, 200, OURS, KIND, body=sdp(port))
                call.run()
    assert port == 6004  # B was told of A's new one, A of what B made of that, and that was all
    call.hang_up(ok)
    call.run(70)


def test_codecs_that_an_answer_leaves_out_are_no_news() -> None:
    fewer = sdp(4000).replace("RTP/AVP 0", "RTP/AVP 8") + "a=ptime:30\r\n"
    call, ok = refreshed(fewer, sdp(5000))
    assert len([text for text in call.bob.heard if text.startswith("INVITE")]) == 2
    call.hang_up(ok)
    call.run(70)


def test_news_that_meets_an_offer_comes_later() -> None:
    """491: again after the time of who made the Call-ID."""
    call, ok = refreshed(sdp(4002), sdp(5000))
    news = call.invite
    call.bob.answer(news, 491)
    call.run(2)
    assert call.invite == news
    call.run(2.2)
    assert call.invite != news
    assert media(call.invite) == "4002"
    call.bob.answer(call.invite, 200, OURS, KIND, body=sdp(5000))
    call.run()
    call.hang_up(ok)
    call.run(70)


def test_news_that_is_refused_is_not_what_stands() -> None:
    call, ok = refreshed(sdp(4002), sdp(5000))
    call.bob.answer(call.invite, 488)
    call.run(180)
    refresh = call.invite
    assert media(refresh) == "4000"
    call.hang_up(ok)
    call.run(70)


def test_news_waits_for_an_offer_and_is_none_any_more_with_its_answer() -> None:
    """B's refresh is still on its way when A's has changed A's session; then B offers itself, and learns it so."""
    call = ByHand(settings=CallSettings(session_expires_s=600))
    ok = call.talk()
    call.run(300)
    call.alice.answer(call.alice.last("INVITE"), 200, OURS, KIND, body=sdp(4002))
    call.run(3)
    refresh = call.invite
    assert media(refresh) == "4000"
    call.bob.answer(refresh, 491)
    call.run(0.05)
    call.ask_b("INVITE", session=sdp(5000))
    assert media(call.alice.last("INVITE")) == "5000"
    call.alice.answer(call.alice.last("INVITE"), 200, KIND, body=sdp(4002))
    call.run()
    call.ask_b("ACK", cseq=101)
    call.run(10)
    assert call.invite == refresh
    call.hang_up(ok)
    call.run(70)


def test_the_call_ends_while_news_is_on_its_way() -> None:
    call, ok = refreshed(sdp(4002), sdp(5000))
    news = call.invite
    call.hang_up(ok)
    call.bob.answer(news, 200, KIND, body=sdp(5000))
    call.run(70)
    assert header(call.bob.last("ACK"), "CSeq").split()[0] == header(news, "CSeq").split()[0]
    assert call.scene.engine.board.legs == {}
    assert call.scene.engine.endpoint.transactions_active == 0


@pytest.mark.parametrize(
    ("session", "found"),
    [
        ("c=IN IP4 1.2.3.4\r\nt=0 0\r\nm=audio 1 RTP/AVP 0\r\n", [("m=audio 1", "c=IN IP4 1.2.3.4", "a=sendrecv")]),
        (
            "c=IN IP4 1.2.3.4\r\nt=0 0\r\na=inactive\r\nm=audio 1 RTP/AVP 0\r\nm=video 2 RTP/SAVP 9\r\n"
            "c=IN IP6 ::1\r\na=recvonly\r\n",
            [("m=audio 1", "c=IN IP4 1.2.3.4", "a=inactive"), ("m=video 2", "c=IN IP6 ::1", "a=recvonly")],
        ),
        ("t=0 0\r\nm=image 3 udptl t38\r\n", [("m=image 3", "", "a=sendrecv")]),
        ("t=0 0\r\n", []),
    ],
)  # fmt: skip
def test_where_media_goes(session: str, found: list[tuple[str, str, str]]) -> None:
    assert streams(session) == found


def test_an_update_that_is_answered_too_late_is_undone() -> None:
    """A was told 504 and keeps its session; B, who has taken up the new one after all, hears of the old one again."""
    call = ByHand()
    ok = call.talk(ALLOW, answer=(ALLOW,))
    call.ask_a("UPDATE", ok, session=sdp(4444))
    call.run(26)
    assert call.alice.last("SIP/2.0 504")
    call.bob.answer(call.bob.last("UPDATE"), 200, KIND, body=sdp(5555))
    call.run()
    undone = call.invite
    assert (media(undone), version(undone)) == ("4000", 3)
    call.bob.answer(undone, 200, KIND, body=sdp(5000))
    call.run(10)
    assert not [text for text in call.alice.heard if text.startswith(("INVITE", "BYE"))]
    call.hang_up(ok)
    expect(call.scene.record, reason="normal")

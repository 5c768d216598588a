"""Messages out of byte streams: RFC 3261 sections 7.5, 18.3; RFC 5626 keep-alives."""

from __future__ import annotations

import contextlib
import time
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.sip.framing import MAX_BODY, MAX_HEAD, StreamError, StreamFramer
from engine.sip.message import MalformedMessage, parse_message
from tests.sip.samples import SDP, request, response

BINARY = request(body=b"\r\n\r\nSIP/2.0 200 OK\r\nl: 5\r\n\r\n\0\xff")
STREAM = [
    request(body=SDP),
    response(without="length"),
    request("BYE", length="l : 0"),
    BINARY,
    request(body=b"abc", length="CONTENT-LENGTH:\r\n  003\t"),
]


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[begin:end] for begin, end in pairwise(places)]


@given(
    st.lists(st.integers(0, 10_000), max_size=30),
    st.sampled_from([b"", b"\r\n", b"\r\n\r\n", b"\n", b"\n\r\n\n"]),
)
def test_messages_come_out_whole_however_the_stream_is_cut(cuts: list[int], between: bytes) -> None:
    framer = StreamFramer()
    messages: list[bytes] = []
    for piece in pieces(between.join([b"", *STREAM, b""]), cuts):
        messages += framer.feed(piece)
    assert messages == STREAM
    assert framer.pending == 0


def test_octet_by_octet() -> None:
    framer = StreamFramer()
    messages: list[bytes] = []
    for octet in b"".join(STREAM):
        messages += framer.feed(bytes([octet]))
    assert messages == STREAM


def test_an_unfinished_message_is_pending() -> None:
    framer = StreamFramer()
    assert framer.feed(STREAM[0] + STREAM[0][:-1]) == [STREAM[0]]
    assert framer.pending == len(STREAM[0]) - 1
    assert framer.feed(STREAM[0][-1:]) == [STREAM[0]]
    assert framer.pending == 0


def test_lone_line_feeds_end_the_headers_too() -> None:
    data = request(body=b"ab").replace(b"\r\n", b"\n")
    framer = StreamFramer()
    assert framer.feed(data + STREAM[0]) == [data, STREAM[0]]
    assert parse_message(data).body == b"ab"


@pytest.mark.parametrize(
    ("chunks", "messages", "pings"),
    [
        ([b"\r\n\r\n"], 0, 1),
        ([b"\r\n"], 0, 0),
        ([b"\r\n", b"\r\n"], 0, 1),
        ([b"\r", b"\n\r", b"\n"], 0, 1),
        ([b"\r\n\r\n\r\n\r\n"], 0, 2),
        ([b"\r\n", STREAM[0], b"\r\n"], 1, 0),
        ([b"\r\n", STREAM[0] + b"\r\n\r\n" + STREAM[0]], 2, 1),
        ([STREAM[0], b"\r\n\r\n", STREAM[0]], 2, 1),
        ([BINARY], 1, 0),
    ],
)
def test_double_crlfs_between_messages_are_pings(chunks: list[bytes], messages: int, pings: int) -> None:
    framer = StreamFramer()
    assert sum(len(framer.feed(chunk)) for chunk in chunks) == messages
    assert framer.pings == pings


@pytest.mark.parametrize(
    "line",
    [
        "Content-Length: -999",
        "l: x",
        "l:",
        "l: 3 3",
        "l: 3, 3",
        "l: 0x3",
        "l: +3",
        "l: ３",
        "l: 3\r\n 4",
        "l: 3\r\nContent-Length: 3",
        f"l: {'9' * 21}",
    ],
)
def test_a_length_that_is_none_ends_the_stream_with_an_answer_to_give(line: str) -> None:
    framer = StreamFramer()
    with pytest.raises(StreamError) as caught:
        framer.feed(STREAM[0] + request(body=b"abc", length=line) + STREAM[0])
    assert caught.value.kind == "length"
    good, bad = caught.value.messages
    assert good == STREAM[0]
    with pytest.raises(MalformedMessage) as refused:
        parse_message(bad)
    assert (refused.value.kind, refused.value.status) == ("length", 400)
    assert refused.value.request is not None
    with pytest.raises(StreamError) as again:
        framer.feed(STREAM[0])
    assert (again.value.kind, again.value.messages) == ("length", [])


def test_a_body_that_would_be_too_large_is_not_waited_for() -> None:
    framer = StreamFramer()
    with pytest.raises(StreamError) as caught:
        framer.feed(request(length=f"Content-Length: {MAX_BODY + 1}"))
    assert caught.value.kind == "size"
    assert len(caught.value.messages) == 1
    assert framer.pending == 0


@pytest.mark.parametrize("filler", [b"x: y\r\n", b"\r", b"x", b"\r\r\n "])
def test_headers_without_end_are_cut_short(filler: bytes) -> None:
    framer = StreamFramer()
    while framer.pending < MAX_HEAD - 1200:
        assert framer.feed(b"A" + filler * (1000 // len(filler))) == []
    with pytest.raises(StreamError) as caught:
        framer.feed(b"A" + filler * 1200)
    assert (caught.value.kind, caught.value.messages) == ("size", [])
    assert framer.pending == 0


def test_the_largest_message_passes() -> None:
    data = request(odd="X: " + "y" * (MAX_HEAD - 320), body=b"z" * MAX_BODY)
    assert len(data) - MAX_BODY <= MAX_HEAD
    framer = StreamFramer()
    assert framer.feed(data) == [data]


def test_keep_alives_leave_nothing_behind() -> None:
    framer = StreamFramer()
    for _ in range(100):
        assert framer.feed(b"\r\n\r\n" * 1000) == []
        assert framer.pending == 0
    assert framer.pings == 100_000


@given(
    st.lists(
        st.binary(max_size=60) | st.sampled_from([*STREAM, b"\r\n", b"l: 5\r\n\r\n", b"\nL:-1\n\n"]),
        max_size=8,
    )
)
@example([b"\r\nA\n\n", b"\r\n\r\n"])
def test_any_stream_is_cut_or_ended(chunks: list[bytes]) -> None:
    framer = StreamFramer()
    octets = 0
    with contextlib.suppress(StreamError):
        for chunk in chunks:
            octets += sum(len(message) for message in framer.feed(chunk))
    assert octets + framer.pending <= sum(map(len, chunks))


@pytest.mark.parametrize("chunk", [b"\r", b"x", b"l", b"\nl:", b"x:y\r\n", b"\r\n"])
def test_slow_feeding_costs_little(chunk: bytes) -> None:
    """A stream in the smallest pieces must not be searched from its beginning each time."""
    framer = StreamFramer()
    begin = time.perf_counter()
    with contextlib.suppress(StreamError):
        for _ in range(60_000 // len(chunk)):
            framer.feed(chunk)
    assert time.perf_counter() - begin < 2.0


def test_a_single_line_end_that_answers_a_ping_of_ours_is_no_half_of_theirs() -> None:
    framer = StreamFramer()
    framer.pongs_due = 1
    assert framer.feed(b"\r\n") == []
    assert (framer.pings, framer.pongs_due) == (0, 0)
    framer.pongs_due = 1
    framer.feed(b"\r\n")
    assert (framer.pings, framer.pongs_due) == (0, 0)
    framer.pongs_due = 1
    framer.feed(b"\r\n\r\n\r\n")  # a pong and a ping
    assert (framer.pings, framer.pongs_due) == (1, 0)

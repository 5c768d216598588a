"""Multipart bodies: RFC 2046 5.1 as SIP uses it, and what hostile peers make of it."""

from __future__ import annotations

import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.sip.multipart import MalformedMultipart, only_part
from tests.sip.samples import SDP

WANTED = "application/sdp"
SESSION = SDP.encode()
MIXED = "multipart/mixed;boundary=b1"


def part(kind: str, content: bytes, boundary: str = "b1", headers: str = "") -> bytes:
    return f"--{boundary}\r\nContent-Type: {kind}\r\n{headers}\r\n".encode() + content + b"\r\n"


def end(boundary: str = "b1") -> bytes:
    return f"--{boundary}--\r\n".encode()


def find(content_type: str, body: bytes) -> bytes | None:
    return only_part(content_type, body, WANTED)


def test_the_wanted_part_is_found_among_others() -> None:
    isup = part(
        "application/ISUP;version=itu-t92+", b"\x01\x11--b2\r\n\x00", headers="Content-Disposition: x\r\n"
    )
    body = isup + part("application/sdp", SESSION) + part("text/plain", b"13800000001") + end()
    assert find(MIXED, body) == SESSION


@pytest.mark.parametrize(
    "body",
    [
        part("application/sdp", SESSION) + end(),
        b"a preamble --b1 of no meaning\r\n" + part("application/sdp", SESSION) + end() + b"and an epilogue",
        part("application/sdp", SESSION).replace(b"--b1\r\n", b"--b1 \t\r\n") + end(),
        part("Application/SDP ; charset=utf-8", SESSION) + end(),
        part("application/sdp", SESSION).replace(b"Content-Type: ", b"content-TYPE  :\r\n\t ") + end(),
        part("application/sdp", SESSION, headers="Content-ID: <1>\r\nContent-Length: 3\r\n") + end(),
        part("application/sdp", SESSION) + part("application/sdp", b"v=1\r\n") + end(),
        part("application/sdp", SESSION) + b"--b1--",
        part("application/sdp", SESSION, headers="Content-Disposition: Session ;handling=required\r\n")
        + end(),
        part("application/sdp", b"v=1", headers="Content-Disposition: early-session\r\n")
        + part("application/sdp", SESSION)
        + end(),
    ],
)
def test_spelling_and_surroundings_make_no_difference(body: bytes) -> None:
    assert find(MIXED, body) == SESSION


def test_the_last_part_may_lack_its_end() -> None:
    assert find(MIXED, part("application/sdp", SESSION)) == SESSION + b"\r\n"


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/mixed;boundary=b1", "b1"),
        ('multipart/mixed; boundary="b1"', "b1"),
        ("Multipart/Related; type=x ;\tBOUNDARY = b1;start=y", "b1"),
        ('multipart/mixed;boundary="gc0p4Jq0M2Yt08j34c0p? (a),/:="', "gc0p4Jq0M2Yt08j34c0p? (a),/:="),
        ("multipart/mixed;boundary=" + "x" * 70, "x" * 70),
        ('multipart/mixed;note=";boundary=other";boundary=b1', "b1"),
        ('multipart/mixed;note="\\";boundary=other";boundary=b1', "b1"),
        ("multipart/mixed;boundary=b1;boundary=other", "b1"),
        ("multipart/mixed;notboundary=other;boundary=b1", "b1"),
        ("multipart/mixed;boundary=é", "é"),
    ],
)
def test_the_boundary_is_read_by_the_grammar(content_type: str, boundary: str) -> None:
    body = (
        part("application/sdp", b"v=1", "other") + part("application/sdp", SESSION, boundary) + end(boundary)
    )
    assert find(content_type, body) == SESSION


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/mixed",
        "multipart/mixed;boundary",
        "multipart/mixed;boundary=",
        'multipart/mixed;boundary=""',
        'multipart/mixed;boundary="b1',
        'multipart/mixed;boundary="b\\1"',
        "multipart/mixed;boundary=" + "b" * 71,
        'multipart/mixed;note=";boundary=b1"',
        "multipart/mixed boundary=b1",
    ],
)
def test_without_a_right_boundary_nothing_is_read(content_type: str) -> None:
    with pytest.raises(MalformedMultipart):
        find(content_type, part("application/sdp", SESSION) + end())


@pytest.mark.parametrize(
    "body", [b"", b"v=0\r\n", b"--b2\r\n\r\nx\r\n--b2--\r\n", b"x--b1\r\n\r\n", b"\n--b1\n\nx"]
)
def test_a_body_without_its_boundary_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedMultipart):
        find(MIXED, body)


@pytest.mark.parametrize(
    "body",
    [
        end() + part("application/sdp", SESSION),
        part("text/plain", b"x") + end() + part("application/sdp", SESSION) + end(),
        part("application/sdp-not", SESSION) + end(),
        part("text/plain;x=application/sdp", SESSION) + end(),
        b"--b1\r\n\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n" + end(),
        b"--b1\r\nX-Content-Type: application/sdp\r\n\r\nv=0\r\n" + end(),
        part("application/ISUP", b"\r\n\r\n" + SESSION) + end(),
        b"--b1\r\n--b1--",
        part("application/sdp", SESSION, headers="Content-Disposition: early-session\r\n") + end(),
        part("application/sdp", SESSION, headers="content-disposition : render;handling=optional\r\n")
        + end(),
        part(
            "multipart/mixed;boundary=b2",
            part("application/sdp", SESSION, "b2") + end("b2"),
            headers="Content-Disposition: x\r\n",
        )
        + end(),
    ],
)
def test_what_is_no_session_is_none(body: bytes) -> None:
    """Also what stands behind the end, and what only looks like a part."""
    assert find(MIXED, body) is None


def test_a_nested_part_is_found() -> None:
    inner = part("text/plain", b"x", "b2") + part("application/sdp", SESSION, "b2") + end("b2")
    middle = part('multipart/alternative; boundary="b2"', inner, "b3") + end("b3")
    body = part("text/plain", b"first") + part("multipart/mixed; boundary=b3", middle) + end()
    assert find(MIXED, body) == SESSION


def test_a_sibling_behind_a_nested_part_is_found() -> None:
    inner = part("text/plain", b"x", "b2") + end("b2")
    body = part("multipart/mixed;boundary=b2", inner) + part("application/sdp", SESSION) + end()
    assert find(MIXED, body) == SESSION


def test_nesting_has_an_end() -> None:
    body = part("application/sdp", SESSION, "b9") + end("b9")
    for depth in range(8, 5, -1):
        body = part(f"multipart/mixed;boundary=b{depth + 1}", body, f"b{depth}") + end(f"b{depth}")
    assert find("multipart/mixed;boundary=b7", _inside(body, "b6")) == SESSION
    with pytest.raises(MalformedMultipart):
        find("multipart/mixed;boundary=b6", body)


@pytest.mark.parametrize(("count", "readable"), [(15, True), (16, False), (10_000, False)])
def test_parts_are_counted(count: int, readable: bool) -> None:
    """Sixteen boundaries at most, that of the end among them."""
    body = part("text/plain", b"x") * (count - 1) + part("application/sdp", SESSION) + end()
    if readable:
        assert find(MIXED, body) == SESSION
    else:
        with pytest.raises(MalformedMultipart):
            find(MIXED, body)


@given(st.binary(max_size=300), st.binary(max_size=100), st.text(max_size=60))
def test_any_octets_are_read_or_refused(before: bytes, content: bytes, kind: str) -> None:
    body = (
        before + b"\r\n--b1\r\nContent-Type: " + kind.encode("utf-8", "surrogatepass") + b"\r\n\r\n" + content
    )
    try:
        found = find(MIXED, body)
    except MalformedMultipart:
        return
    assert found is None or found in body


@given(st.lists(st.sampled_from([b"--b1", b"--b2", b"--", b"\r\n", b"\r\n\r\n", b"x", b" ", b"Content-Type: ",
                                 b"multipart/x;boundary=b2", b"multipart/x;boundary=b1", b"application/sdp", b":"]),
                max_size=60))  # fmt: skip
def test_any_heap_of_the_right_pieces_is_read_or_refused(pieces: list[bytes]) -> None:
    body = b"".join(pieces)
    try:
        found = find(MIXED, body)
    except MalformedMultipart:
        return
    assert found is None or found in body


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (MIXED, b"\r\n--b" * 13_000),
        (MIXED, part("application/sdp\r\n " * 3_500, b"x")),
        (MIXED, part("x", b"x", headers=" \t" * 30_000 + "\r\n")),
        ("multipart/mixed" + ";a=" * 20_000 + ";boundary=b1", part("application/sdp", b"x") + end()),
        ("multipart/mixed" + ';a="\\' * 15_000, b""),
        ("multipart/mixed;" + " " * 60_000 + "boundary=b1", b""),
        ("multipart/mixed" + ";boundary " * 6_000 + "=", b""),
    ],
)
def test_no_body_takes_long(content_type: str, body: bytes) -> None:
    begun = time.process_time()
    with contextlib.suppress(MalformedMultipart):
        find(content_type, body)
    assert time.process_time() - begun < 0.2


def _inside(body: bytes, boundary: str) -> bytes:
    """The content of the only part of a body."""
    return body.partition(b"\r\n\r\n")[2].rpartition(f"\r\n--{boundary}--".encode())[0]

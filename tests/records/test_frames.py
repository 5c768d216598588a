"""The journal's format: what is written is read again, and nothing else is."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.records.frames import (
    CHAIN_BYTES,
    NO_CHAIN,
    Damage,
    Entry,
    Frame,
    Header,
    Kind,
    NoSegment,
    Position,
    SegmentReader,
    all_files,
    first_frame,
    frame,
    header_of,
    packed,
    read_frame,
    read_segment,
    segment_files,
    segment_path,
)

HEADER = Header(7, "mask700-1", "a1b2", 1, 1)
OPEN = [Position(5, 4096, 3), Position(6, 40, 0)]
ENTRIES = [
    [Entry(Kind.START, b"first"), Entry(Kind.END, b"")],
    [Entry(Kind.END, b"second" * 50)],
    [Entry(200, b"of a later version"), Entry(Kind.END, b"\xf7M7\0")],
]


def written() -> tuple[bytes, list[int]]:
    """A segment with the frames of ENTRIES, and where each of its frames begins."""
    data, chain = first_frame(
        NO_CHAIN, HEADER, b"".join(packed(*place) for place in OPEN), 1_700_000_000_000, 5
    )
    offsets = [40]
    for number, entries in enumerate(ENTRIES):
        offsets.append(len(data))
        more, chain = frame(chain, entries, 1_700_000_000_000 + number, 6 + number)
        data += more
    return data, offsets


DATA, OFFSETS = written()


def read(path: Path) -> list[Frame]:
    return list(read_segment(path))


def thorough(path: Path) -> tuple[list[Frame], SegmentReader]:
    with path.open("rb") as file:
        reader = SegmentReader(file, thorough=True)
        return list(reader.frames()), reader


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = segment_path(tmp_path, 7)
    path.write_bytes(DATA + bytes(5000))
    frames = read(path)
    assert header_of(frames[0]) == (HEADER, OPEN)
    assert [frame.entries for frame in frames[1:]] == ENTRIES
    assert [frame.offset for frame in frames] == OFFSETS
    assert [(frame.wall_ms, frame.monotonic_ms) for frame in frames[1:]] == [
        (1_700_000_000_000, 6),
        (1_700_000_000_001, 7),
        (1_700_000_000_002, 8),
    ]
    assert list(read_segment(path, OFFSETS[2])) == frames[2:]
    with path.open("rb") as file:
        assert read_frame(file, OFFSETS[1]) == frames[1]
        assert read_frame(file, OFFSETS[1] + 1) is None


def test_a_file_that_grows_is_read_on(tmp_path: Path) -> None:
    path = tmp_path / "segment"
    path.write_bytes(DATA[: OFFSETS[2] + 20])
    with path.open("rb") as file:
        reader = SegmentReader(file)
        assert len(list(reader.frames())) == 2
        path.write_bytes(DATA)
        assert [frame.entries for frame in reader.frames()] == ENTRIES[1:]


@given(length=st.integers(0, len(DATA) - 1), rest=st.sampled_from([b"", bytes(700), b"\xf7M7\0", b"x" * 90]))
def test_torn_anywhere(tmp_path_factory: pytest.TempPathFactory, length: int, rest: bytes) -> None:
    path = tmp_path_factory.mktemp("torn") / "segment"
    torn = DATA[:length] + rest
    path.write_bytes(torn)
    same = next(
        (place for place, pair in enumerate(zip(torn, DATA, strict=False)) if pair[0] != pair[1]), len(torn)
    )
    whole = sum(end <= same for end in [*OFFSETS[1:], len(DATA)])  # what was cut off may be zeros itself
    try:
        frames, reader = thorough(path)
    except NoSegment:
        assert same < OFFSETS[0]
        return
    assert len(frames) == whole
    assert reader.end == [40, *OFFSETS[1:], len(DATA)][whole]
    assert not reader.damage


@given(place=st.integers(40, len(DATA) - 1), bit=st.integers(0, 7))
def test_a_changed_bit_costs_the_frame_that_it_is_in(
    tmp_path_factory: pytest.TempPathFactory, place: int, bit: int
) -> None:
    """And where it is in the chain value alone, none; it is found where it is."""
    changed = bytearray(DATA)
    changed[place] ^= 1 << bit
    path = tmp_path_factory.mktemp("bit") / "segment"
    path.write_bytes(bytes(changed))
    frames, reader = thorough(path)
    hit = max(number for number, offset in enumerate(OFFSETS) if offset <= place)
    end = [*OFFSETS, len(DATA)][hit + 1]
    last = hit == len(OFFSETS) - 1
    in_chain = place >= end - CHAIN_BYTES
    expected = [offset for number, offset in enumerate(OFFSETS) if number != hit or (in_chain and not last)]
    assert [frame.offset for frame in frames] == expected
    if last:
        assert not reader.damage  # a torn tail, for all that can be said
        assert reader.end == OFFSETS[-1]
    else:
        (damage,) = reader.damage
        assert damage == (Damage(end - CHAIN_BYTES, end) if in_chain else Damage(OFFSETS[hit], end))
        assert damage.offset <= place < damage.end


def test_frames_removed_or_moved_are_damage(tmp_path: Path) -> None:
    path = tmp_path / "segment"
    first, second, third = DATA[OFFSETS[1] : OFFSETS[2]], DATA[OFFSETS[2] : OFFSETS[3]], DATA[OFFSETS[3] :]
    for frames in (
        (first, third),
        (second, first, third),
        (first, second, second, third),
        (first, third, second),
    ):
        path.write_bytes(DATA[: OFFSETS[1]] + b"".join(frames))
        _, reader = thorough(path)
        assert reader.damage or reader.end < path.stat().st_size


def test_what_is_no_segment(tmp_path: Path) -> None:
    path = segment_path(tmp_path, 1)
    path.write_bytes(bytes(4096))  # made in advance
    assert read(path) == []
    assert [file.path for file in all_files([tmp_path])] == [path]
    assert segment_files([tmp_path, tmp_path / "not there"]) == []
    path.write_bytes(DATA[:7] + b"\x02" + DATA[8:])
    with pytest.raises(NoSegment, match="its format is version 2, and 1 is read here"):
        read(path)
    for torn in (1, 7, 8, 39):
        path.write_bytes(DATA[:torn])
        with pytest.raises(NoSegment, match="ends before its first frame"):
            read(path)
    path.write_bytes(b"something else altogether, and long enough")
    with pytest.raises(NoSegment, match="does not begin as a segment does"):
        read(path)


def test_segments_are_listed_by_number_over_all_directories(tmp_path: Path) -> None:
    for directory, number in (("b", 2), ("a", 10), ("b", 1)):
        (tmp_path / directory).mkdir(exist_ok=True)
        segment_path(tmp_path / directory, number).write_bytes(DATA)
    (tmp_path / "a" / "segment-0000000003.torn").write_bytes(b"x")
    listed = segment_files([tmp_path / "a", tmp_path / "b"])
    assert [(file.number, file.path.parent.name) for file in listed] == [(1, "b"), (2, "b"), (10, "a")]


def test_positions() -> None:
    position = Position(12, 4096, 3)
    assert str(position) == "12:4096:3"
    assert Position.parse("12:4096:3") == position
    assert Position(12, 4096, 3) < Position(12, 5000, 0) < Position(13, 40, 0)
    for text in ("", "12", "12:4096", "12:4096:3:1", "-1:0:0", "a:b:c", "1:2:3 "):
        with pytest.raises(ValueError, match="is no position"):
            Position.parse(text)

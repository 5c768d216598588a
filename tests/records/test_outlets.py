"""Outlets: every record once, from a durable place on, in files as others take them."""

import subprocess
import threading
from pathlib import Path

import pytest

from engine.calls.record import EntryKind
from engine.records.outlet_place import oldest_needed
from engine.records.outlets import POLL_SECONDS
from engine.records.rows import header
from engine.sealing.signing import public_pem
from tests.records.old_lines import FIRST, write_old
from tests.records.outlet_places import SIGNING, Place, read_manifest, rows_of
from tests.records.samples import journal_in, record, write
from tests.records.segments import Segments


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_records_become_a_file_when_it_is_due(place: Place) -> None:
    journal = Segments(place.records)
    journal.write(record(1), record(2))
    journal.write(record(3), kind=EntryKind.START)
    outlet = place.outlet(rotate_s=60)
    assert outlet.step() == POLL_SECONDS
    assert place.files() == []
    place.clock.now += 59
    journal.write(record(3))
    outlet.step()
    assert place.files() == []
    place.clock.now += 1
    outlet.step()
    (path,) = place.files()
    assert path.name == "billing-mask700-1-0000000001.csv"
    assert path.read_bytes().startswith(header("csv"))
    assert place.ids() == [1, 2, 3]
    manifest = read_manifest(path)
    positions = [str(position) for position in journal.positions]
    assert (manifest["after"], manifest["first"], manifest["last"]) == ("0:0:0", positions[0], positions[3])
    assert (manifest["first_time"], manifest["last_time"]) == ("2026-01-31T08:00:02.250Z",) * 2
    assert (manifest["number"], manifest["format"], manifest["numbers"]) == (1, "csv", "masked")
    assert [entry.stat().st_mode & 0o777 for entry in sorted(path.parent.iterdir())] == [0o600, 0o600]
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert place.leftovers() == []
    place.clock.now += 600
    outlet.step()
    assert len(place.files()) == 1  # nothing new is no file
    status = outlet.status()
    assert (status.position, status.delivered, status.lag_records, status.error) == (positions[3], 3, 0, "")


def test_a_file_has_a_largest_size(place: Place) -> None:
    journal = Segments(place.records)
    for number in range(1, 3501):
        journal.write(record(number, content="x" * 1000))
    outlet = place.outlet(rotate_mib=1, format="jsonl", numbers="clear")
    outlet.step()
    outlet.last()
    sizes = [path.stat().st_size for path in place.files(form="jsonl")]
    assert len(sizes) == 7
    assert all(1 << 20 <= size < (1 << 20) + 2000 for size in sizes[:-1])
    assert place.ids(form="jsonl") == list(range(1, 3501))
    manifests = [read_manifest(path) for path in place.files(form="jsonl")]
    assert [one["after"] for one in manifests[1:]] == [one["last"] for one in manifests[:-1]]


def test_real_numbers_are_masked_unless_asked_for(place: Place) -> None:
    said = {
        "order_id": "13800000001/20260113123456789",
        "content": "call 13912345678",
        "a_call_id": "8613800000001@x",
    }
    journal = Segments(place.records)
    journal.write(record(1, record_id="13800000001abcdef1234567", **said))
    place.outlet(format="jsonl").last()
    place.outlet("clear", format="jsonl", numbers="clear").last()
    (masked,) = rows_of(*place.files(form="jsonl"))
    (clear,) = rows_of(*place.files("clear", "jsonl"))
    changed = {
        "caller": "138****0001", "callee": "139****0002", "content": None, "a_call_id": "138****0001@x",
        "order_id": "138****0001/20260113123456789",
    }  # fmt: skip
    assert masked == {**clear, **changed}
    assert list(masked) == list(clear)
    assert (clear["caller"], clear["content"], clear["order_id"]) == (
        "+8613800000001", said["content"], said["order_id"],
    )  # fmt: skip


def test_it_goes_on_where_it_was(place: Place) -> None:
    journal = Segments(place.records)
    journal.write(record(1), record(2))
    place.outlet().last()
    journal.write(record(3))
    journal.next(place.root / "spare")
    journal.write(record(4))
    place.outlet().last()
    assert place.ids() == [1, 2, 3, 4]
    assert [read_manifest(path)["number"] for path in place.files()] == [1, 2]


def test_the_journal_may_rotate_under_it(place: Place) -> None:
    journal = Segments(place.records)
    outlet = place.outlet()
    for number in range(1, 40):
        journal.write(record(number))
        if number % 7 == 0:
            journal.next(place.root / ("spare" if number % 2 else "records"), footer=number % 3 == 0)
        if number % 5 == 0:
            outlet.step()
    outlet.last()
    assert place.ids() == list(range(1, 40))


def test_a_torn_end_is_waited_for(place: Place) -> None:
    journal = Segments(place.records)
    journal.write(record(1))
    journal.write(record(2))
    whole = journal.path.read_bytes()
    second = journal.positions[1].offset
    outlet = place.outlet(rotate_s=1)
    for torn in (second + 3, second + 40, second + 400):
        journal.path.write_bytes(whole[:torn] + bytes(len(whole) - torn))
        outlet.step()
        assert outlet.status().lag_records == 1
    journal.path.write_bytes(whole)
    outlet.last()
    assert (place.ids(), outlet.status().failures) == ([1, 2], 0)


def test_two_outlets_stand_at_places_of_their_own(place: Place) -> None:
    journal = Segments(place.records)
    journal.write(record(1))
    place.outlet("early").last()
    journal.next()
    journal.write(record(2))
    place.outlet("late", format="jsonl").last()
    journal.next()
    journal.write(record(3))
    assert oldest_needed(place.root / "outlets", ["early", "late"]) == 1
    assert oldest_needed(place.root / "outlets", ["late"]) == 2
    assert oldest_needed(place.root / "outlets", ["late", "new"]) == 0
    assert oldest_needed(place.root / "outlets", []) is None
    place.outlet("early").last()
    place.outlet("late", format="jsonl").last()
    assert oldest_needed(place.root / "outlets", ["early", "late"]) == 3
    assert place.ids("early") == place.ids("late", "jsonl") == [1, 2, 3]


def test_records_of_version_0_1_0_come_first(place: Place) -> None:
    place.records.mkdir()
    write_old(place.records / FIRST, [record(1), record(2)])
    place.outlet().last()
    assert place.ids() == [1, 2]
    journal = Segments(place.records)
    journal.write(record(3))
    place.outlet().last()
    assert place.ids() == [1, 2, 3]


def test_a_journal_that_is_being_written_is_given_out_to_its_last_record(place: Place) -> None:
    """Read by a thread while another one writes and rotates, as the engine's processes do."""
    journal = journal_in(place.records, place.root / "spare")
    outlet = place.outlet(rotate_mib=1, numbers="clear", format="jsonl")
    over = threading.Event()

    def give_out() -> None:
        while not over.is_set():
            outlet.step()
        outlet.last()

    reader = threading.Thread(target=give_out)
    reader.start()
    content = "x" * 500
    for number in range(1, 6001):
        write(journal, EntryKind.START, number)
        write(journal, EntryKind.END, number, content=content)
        if number % 3 == 0:
            journal.flush()
    journal.close()
    over.set()
    reader.join()
    assert len(list(place.records.glob("segment-*.journal"))) > 4
    assert place.ids(form="jsonl") == list(range(1, 6001))
    assert (outlet.status().failures, outlet.status().lag_records) == (0, 0)


def test_openssl_proves_a_manifest(place: Place) -> None:
    """By the two lines that stand in README.md."""
    Segments(place.records).write(record(1))
    place.outlet().last()
    (path,) = place.files()
    public = place.root / "signing-1.pub"
    public.write_bytes(public_pem(SIGNING.private[1]))
    script = (
        f"head -n 1 {path}.manifest > statement; tail -n 1 {path}.manifest | base64 -d > signature\n"
        f"openssl pkeyutl -verify -pubin -inkey {public} -rawin -in statement -sigfile signature"
    )
    for changed, status in ((b"", 0), (b" ", 1)):
        manifest = path.with_name(path.name + ".manifest")
        manifest.write_bytes(changed + manifest.read_bytes())
        assert subprocess.run(["sh", "-c", script], cwd=place.root, capture_output=True).returncode == status

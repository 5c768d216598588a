"""However much is recorded, no real number lies on disk in clear."""

from pathlib import Path

from engine.calls.record import EntryKind
from engine.records.finishing import finish
from engine.records.query import query
from engine.sealing.signing import SigningKeys
from engine.sip.dialog import Dialog
from engine.sip.flow import Flow
from tests.records.samples import CODEC, journal_in, record


def dialogs(remote: str, target: str) -> tuple[Dialog, Dialog]:
    flow = Flow("udp", "127.0.0.1", 5090, 1, "pstn")
    dialog = Dialog("1", "<sip:700@x>;tag=2", remote, "2", "1", target, [f"<{target};lr>"], 1, 1, flow, flow)
    return dialog, dialog


def test_no_real_number_is_found_in_the_journal(tmp_path: Path) -> None:
    mobiles = [f"139{index * 7919 % 100_000_000:08d}" for index in range(600)]
    landlines = [f"010620{index:05d}" for index in range(200)]
    everybody = mobiles + landlines
    journal = journal_in(tmp_path)
    for index, national in enumerate(mobiles):
        other = everybody[-1 - index]
        entry = record(
            index,
            caller="+86" + national,
            callee="+86" + other.removeprefix("0"),
            dialled=national if index % 3 else "700123456789012",
            order_id=f"order of {national}",
            a_call_id=f"{national}@ua.example",
            b_call_id=f"{other}@ua.example",
            content=f"{national} wants {other}",
        )
        legs = dialogs(f"<sip:{national}@ua.example>;tag=1", f"sip:{other}@ua.example")
        journal.append(EntryKind.START, CODEC.encode(EntryKind.START, entry, legs), entry.record_id)
        journal.append(EntryKind.END, CODEC.encode(EntryKind.END, entry), entry.record_id)
        journal.flush()
    assert journal.close()
    assert finish([tmp_path], CODEC, SigningKeys({1: bytes(32)}, 1), stopped=True).problems == []
    assert {path.suffix for path in tmp_path.iterdir()} == {".journal", ".index", ".seal"}
    on_disk = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert len(on_disk) > 600 * 2 * 400
    assert not [national for national in everybody if national.removeprefix("0").encode() in on_disk]
    assert [found["caller"] for found in query([tmp_path], CODEC)] == [
        "+86" + national for national in mobiles
    ]

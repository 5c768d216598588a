"""Records as lines for others: columns that never move."""

import csv
import io
import json

from engine.calls.record import EntryKind
from engine.records.frames import Position
from engine.records.query import Found
from engine.records.rows import header, line_of
from tests.records.samples import CODEC, record

COLUMNS = (
    "schema,record_id,type,node,tenant,binding_id,order_id,model,direction,caller,dialled,shown,callee,setup_time,"
    "ringing_time,answer_time,release_time,ring_ms,talk_ms,disposition,reason,released_by,sip_status,q850_cause,"
    "a_call_id,b_call_id,in_trunk,out_trunk,source,verification,message_parts,delivered_time,content,attempts"
)


def found(**changes: object) -> Found:
    opened = CODEC.open(CODEC.parse(CODEC.encode(EntryKind.END, record(1, **changes))))
    return Found(Position(7, 40, 2), opened)


def test_the_columns_are_the_contracts() -> None:
    assert header("csv") == (COLUMNS + "\r\n").encode()
    assert header("csv", positions=True) == ("position," + COLUMNS + "\r\n").encode()
    assert header("jsonl") == b""


def test_a_row_has_what_stands_in_the_header() -> None:
    text = '"quoted", with a comma\r\nand a line'
    one = found(order_id=text, verification=None, source="源")
    rows = list(csv.reader(io.StringIO((header("csv") + line_of("csv")(one)).decode(), newline="")))
    assert len(rows) == 2
    row = dict(zip(*rows, strict=True))
    assert row["order_id"] == text
    assert (row["verification"], row["source"], row["talk_ms"]) == ("", "源", "1000")
    assert row == {name: "" if value is None else str(value) for name, value in one.record.items()}


def test_a_line_of_json_is_the_record() -> None:
    one = found()
    line = line_of("jsonl")(one)
    assert line.endswith(b"}\n")
    assert list(json.loads(line)) == COLUMNS.split(",")
    assert json.loads(line) == one.record


def test_positions_stand_in_front() -> None:
    one = found()
    assert line_of("csv", positions=True)(one).startswith(b"7:40:2,1,")
    assert json.loads(line_of("jsonl", positions=True)(one)) == {"position": "7:40:2", **one.record}

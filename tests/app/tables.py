"""Binding tables, configurations and played behaviour for the tests of the control side."""

import json
import socket
from pathlib import Path
from typing import Any

HEADER = "model,x,y,a,b,expires_at,direction,max_duration_s,tenant,order_id\n"
ROOT = Path(__file__).parent.parent.parent


def row(number: int, b: int = 13900000001) -> str:
    """A good row; rows of different numbers never collide."""
    return f"AXB,700100000010001,,{13800000000 + number},{b + number},,both,,,order-{number}\n"


def write_table(path: Path, *rows: str) -> Path:
    path.write_text(HEADER + "".join(rows), "utf-8")
    return path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def write_config(directory: Path, table: str | None = None) -> tuple[Path, int]:
    """An engine of its own below `directory`, and its HTTP port. `table`: default a table of three rows."""
    if table is None:
        table = str(write_table(directory / "bindings.csv", row(1), row(2), row(3)))
    port = free_port()
    config = directory / "engine.toml"
    config.write_text(
        f"""\
data_dir = "{directory / "var"}"
[sip]
listen = ["udp://127.0.0.1:5062"]
[control]
listen = "127.0.0.1:{port}"
[bindings]
table = "{table}"
[[trunks]]
name = "pstn"
peers = ["127.0.0.0/8"]
next_hops = ["udp://127.0.0.1:5090"]
prefixes = [""]
""",
        "utf-8",
    )
    return config, port


def behave(data_dir: Path, **behaviour: Any) -> None:
    """Tell the signalling process how to play (`fake_signalling` lists what it knows)."""
    data_dir.mkdir(exist_ok=True)
    draft = data_dir / "fake.json.new"
    draft.write_text(json.dumps(behaviour))
    draft.replace(data_dir / "fake.json")

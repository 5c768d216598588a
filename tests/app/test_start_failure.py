"""The engine as a whole that cannot start: one line says why, and nothing of it is left."""

import asyncio
import json
import os
import socket
import sys
from pathlib import Path

import pytest

from tests.app.tables import ROOT, write_config


async def serve(directory: Path, *overrides: str) -> list[dict[str, object]]:
    """What `mask700 serve` logged until it ended with status 1."""
    config, _ = write_config(directory)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "engine.cli.main", "serve", "--config", str(config)),
        *(word for override in overrides for word in ("--set", override)),
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
        start_new_session=True,
    )
    _, said = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 1
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    return [json.loads(line) for line in said.splitlines()]  # a traceback would be no JSON


def why(said: list[dict[str, object]]) -> object:
    (line,) = [entry for entry in said if entry["level"] == "error"]
    assert line["event"] == "cannot start"
    return line["why"]


async def test_a_udp_port_that_is_taken(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"udp://127.0.0.1:{taken.getsockname()[1]}"
        said = await serve(tmp_path, f'sip.listen=["{address}"]')
    assert why(said) == f"{address}: Address already in use"


async def test_a_tcp_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        said = await serve(tmp_path, f'sip.listen=["{address}"]')
    assert why(said) == f"{address}: Address already in use"


async def test_an_address_of_another_machine(tmp_path: Path) -> None:
    said = await serve(tmp_path, 'sip.listen=["udp://192.0.2.1:5403"]')
    assert why(said) == "udp://192.0.2.1:5403: Cannot assign requested address"


@pytest.mark.parametrize("name", ["records", "callers"])
async def test_a_file_where_a_directory_should_be(tmp_path: Path, name: str) -> None:
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / name).write_text("")
    told = str(why(await serve(tmp_path, 'sip.listen=["udp://127.0.0.3:5404"]')))
    assert str(tmp_path / "var" / name) in told
    assert "File exists" in told


async def test_a_file_where_the_data_directory_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = await serve(tmp_path, f'data_dir="{tmp_path}/file/var"')
    assert why(said) == f"data_dir {tmp_path}/file/var: Not a directory"


async def test_a_data_directory_that_is_open_to_all_is_said(tmp_path: Path) -> None:
    (tmp_path / "var").mkdir()
    (tmp_path / "var").chmod(0o777)
    said = await serve(tmp_path, 'sip.listen=["udp://192.0.2.1:5403"]')
    warned = [entry["event"] for entry in said if entry["level"] == "warning"]
    assert "others may write into data_dir, and so change keys and records; chmod 700" in warned

"""`mask700 health` against doors that answer what they are told to."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tests.cli.world import World


@contextmanager
def door(status: int, said: str, listen: str = "127.0.0.1") -> Iterator[str]:
    """An HTTP door; where it listens."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.path == "/readyz"
            self.send_response(status)
            self.end_headers()
            self.wfile.write(said.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Nobody reads it."""

    server = HTTPServer((listen, 0), Answers)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"{listen}:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


@pytest.mark.parametrize(
    ("status", "said", "healthy"),
    [
        (200, "ok\n", True),
        (503, "draining\n", True),
        (503, "starting\n", False),
        (503, "records cannot be written: No space left on device\nand more\n", False),
    ],
)
def test_what_readyz_says_decides(world: World, status: int, said: str, healthy: bool) -> None:
    first_line = said.splitlines()[0]
    with door(status, said) as listen:
        place = ("--set", f'control.listen="{listen}"')
        plain, as_json = world.run("health", *place), world.run("health", "--json", *place)
    assert plain.exit_code == as_json.exit_code == (0 if healthy else 1)
    assert (plain.stdout if healthy else plain.stderr) == f"{first_line}\n"
    assert json.loads(as_json.stdout) == {"healthy": healthy, "state": first_line}


def test_a_door_of_somebody_else_is_not_healthy(world: World) -> None:
    for status, said in ((404, "not found\n"), (503, "")):
        with door(status, said) as listen:
            result = world.run("health", "--set", f'control.listen="{listen}"')
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == f"{listen} answers {status}, which is no engine's\n"


def test_a_door_that_listens_everywhere_is_found(world: World) -> None:
    with door(200, "ok\n") as listen:
        port = listen.rpartition(":")[2]
        assert world.run("health", "--set", f'control.listen="0.0.0.0:{port}"').exit_code == 0
        nobody = world.run("health", "--within", "1", "--set", f'control.listen="[::]:{port}"')
    assert nobody.exit_code == 1
    assert nobody.stderr.startswith(f"nobody answers at ::1:{port}: ")


def test_no_engine_is_not_healthy(world: World) -> None:
    with door(200, "ok\n") as listen:
        pass
    result = world.run("health", "--set", f'control.listen="{listen}"')
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"nobody answers at {listen}: ")

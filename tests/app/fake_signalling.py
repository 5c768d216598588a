"""A signalling process that only plays one: it speaks the link and does what a file in data_dir tells it.

`fake.json`: {"die_at_start": status, "fail_at_start": why, "never_ready": true, "ignore_stop": true,
"refuse": {op: why}, "stats": {…}, "calls": n}; read again before each answer. What it was
asked stands in `fake.log`, one JSON object a line. `engine/app/link.py` says what the real one does.
"""

import asyncio
import json
import socket
import sys
from pathlib import Path
from typing import Any

from engine.app.child import child_arguments, leave_signals_to_control
from engine.app.link import Link, Refused
from engine.observe.tally import Tally
from engine.settings import load_settings


class FakeSignalling:
    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._stopped = asyncio.Event()
        self._draining = False
        self.link: Link | None = None

    def behaviour(self) -> dict[str, Any]:
        path = self._data_dir / "fake.json"
        return dict(json.loads(path.read_text())) if path.exists() else {}

    def serve(self, op: str, arguments: dict[str, Any]) -> object:
        behaviour = self.behaviour()
        with (self._data_dir / "fake.log").open("a") as log:
            log.write(json.dumps({"op": op, **arguments}) + "\n")
        if op in behaviour.get("refuse", {}):
            raise Refused(behaviour["refuse"][op])
        if op == "drain":
            self._draining = True
        elif op == "stop":
            if not behaviour.get("ignore_stop"):
                self._stopped.set()
        elif op == "metrics":
            tally = Tally()
            tally.calls_active = behaviour.get("calls", 0)
            return tally.snapshot()
        elif op == "stats":
            return {
                "calls_active": behaviour.get("calls", 0),
                "transactions_active": 0,
                "draining": self._draining,
                "journal_error": None,
                **behaviour.get("stats", {}),
            }
        elif op == "calls.list":
            numbers = range(behaviour.get("calls", 0))
            first = arguments["after"] or 0
            page = [{"record_id": str(number), "state": "talking"} for number in numbers[first:]]
            page = page[: arguments["limit"]]
            last = first + len(page)
            return {"calls": page, "next": last if last < len(numbers) else None}
        elif op == "trunks.list":
            return [{"name": "pstn", "enabled": True}]
        return None

    async def run(self, link: socket.socket) -> int:
        behaviour = self.behaviour()
        self.link = await Link.open(link, serve=self.serve, closed=self._gone)
        if "die_at_start" in behaviour:
            return int(behaviour["die_at_start"])
        if "fail_at_start" in behaviour:
            self.link.tell("failed", why=behaviour["fail_at_start"])
            self.link.close()
            await self._stopped.wait()
            return 1
        if not behaviour.get("never_ready"):
            self.link.tell("ready", addresses=["udp://127.0.0.1:5060"])
        await self._stopped.wait()
        self.link.close()
        return 0

    def _gone(self) -> None:
        if not self.behaviour().get("ignore_stop"):
            self._stopped.set()


async def main() -> int:
    arguments = child_arguments(sys.argv[1:])
    leave_signals_to_control()
    settings = load_settings(arguments.config, arguments.overrides)
    return await FakeSignalling(settings.data_dir).run(socket.socket(fileno=arguments.link))


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))

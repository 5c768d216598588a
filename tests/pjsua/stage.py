"""An engine with real phones on both sides, on loopback addresses that no other test uses."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.lab.engine_process import Engine
from engine.lab.processes import Processes
from engine.lab.records import LabRecords
from engine.settings import load_settings
from tests.pjsua.phones import Phone, PhoneSettings

ROOT = Path(__file__).resolve().parent.parent.parent
CONFIG = ROOT / "config" / "lab.toml"

X = "700100000010001"
ENGINE_PORT = 21500
CONTROL_PORT = 21501
PHONES_PORT = 21510  # and the next ones
MEDIA_PORT = 21600
MEDIA_PORTS = 180
MOST_PAIRS = 40

# Which of this process's hosts is whose. Each side's phones have a host of their own: it is a canary at the other.
ENGINE, ENGINES_DOOR, CALLERS, CALLEES, CALLERS_DOOR, CALLEES_DOOR = range(6)


def host(role: int) -> str:
    """A loopback address of this process's, so that test runs beside one another do not meet."""
    pid = os.getpid()
    return f"127.{128 + 16 * role + (pid >> 16) % 16}.{(pid >> 8) % 256}.{pid % 256}"


@dataclass(slots=True, frozen=True)
class Pair:
    """Two phones that are bound to each other on X: number `index` of their stage."""

    index: int
    transport: str = "udp"

    @property
    def numbers(self) -> tuple[str, str]:
        return f"1380000{1000 + self.index}", f"1380000{2000 + self.index}"

    @property
    def ports(self) -> tuple[int, int]:
        return PHONES_PORT + 2 * self.index, PHONES_PORT + 2 * self.index + 1


@dataclass(slots=True)
class Stage:
    """The engine among `pairs`. `doors`: everything SIP goes through hosts of their own, where a relay may stand."""

    folder: Path
    pairs: Sequence[Pair]
    doors: bool = False
    overrides: Sequence[str] = ()

    def phone_settings(self, pair: Pair, side: int, part: str = "", **more: object) -> PhoneSettings:
        """The phone of one side, 0 or 1. `part`: what tells its log from those of other phones of that number."""
        name = f"{('anna', 'bert')[side]}{pair.index}{part}"
        return PhoneSettings(
            number=pair.numbers[side],
            name=name,
            host=host((CALLERS, CALLEES)[side]),
            public_host=self._reached_at(side),
            port=pair.ports[side],
            media_port=MEDIA_PORT,
            media_ports=MEDIA_PORTS,
            log=str(self.folder / f"{name}.log"),
            transport=pair.transport,
            **more,  # type: ignore[arg-type]
        )

    def uri(self, pair: Pair) -> str:
        """What both phones of the pair dial."""
        engine = host(ENGINES_DOOR if self.doors else ENGINE)
        return f"sip:{X}@{engine}:{ENGINE_PORT}" + (";transport=tcp" if pair.transport == "tcp" else "")

    async def start_engine(self, processes: Processes) -> Engine:
        return await Engine.start(
            self._write_config(),
            self.overrides,
            (host(ENGINE), CONTROL_PORT),
            data_dir=self.data_dir,
            log=self.folder / "engine.log",
            processes=processes,
        )

    @property
    def config(self) -> Path:
        return self.folder / "engine.toml"

    @property
    def data_dir(self) -> Path:
        return self.folder / "var"

    def records(self) -> LabRecords:
        """Of a running engine."""
        return LabRecords(self.data_dir, load_settings(self.config, list(self.overrides)))

    def _reached_at(self, side: int) -> str:
        return host((CALLERS_DOOR, CALLEES_DOOR)[side] if self.doors else (CALLERS, CALLEES)[side])

    def _write_config(self) -> Path:
        """Each phone is reached through a trunk of its own."""
        self.folder.mkdir(parents=True, exist_ok=True)
        table = self.folder / "bindings.csv"
        rows = ["model,x,y,a,b,expires_at,direction,max_duration_s,tenant,order_id"]
        rows += [
            f"AXB,{X},,{pair.numbers[0]},{pair.numbers[1]},,both,,,order-{pair.index}" for pair in self.pairs
        ]
        table.write_text("\n".join(rows) + "\n", encoding="utf-8")
        at = f"{host(ENGINE)}:{ENGINE_PORT}"
        lines = [
            f"data_dir = {json.dumps(str(self.data_dir))}",
            "[sip]",
            f'listen = ["udp://{at}", "tcp://{at}"]',
            f'advertise = "{host(ENGINES_DOOR if self.doors else ENGINE)}"',
            "[control]",
            f'listen = "{host(ENGINE)}:{CONTROL_PORT}"',
            "[bindings]",
            f"table = {json.dumps(str(table))}",
        ]
        for pair in self.pairs:
            for side in (0, 1):
                lines += [
                    "[[trunks]]",
                    f'name = "phone-{pair.numbers[side]}"',
                    f"peers = {json.dumps(['127.0.0.0/8'] if (pair, side) == (self.pairs[0], 0) else [])}",
                    f'next_hops = ["{pair.transport}://{self._reached_at(side)}:{pair.ports[side]}"]',
                    f'prefixes = ["86{pair.numbers[side]}"]',
                    "trust_identity = true",
                ]
        self.config.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return self.config


async def two_phones(stage: Stage, pair: Pair, part: str = "", **more: object) -> tuple[Phone, Phone]:
    """Both phones of the pair, switched on."""
    return (
        await Phone.start(stage.phone_settings(pair, 0, part, **more)),
        await Phone.start(stage.phone_settings(pair, 1, part, **more)),
    )

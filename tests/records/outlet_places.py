"""Data directories with outlets, for the tests, and what a billing system sees of them."""

from __future__ import annotations

import csv
import io
import json
from base64 import b64decode
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from engine.records.outlet_disk import OutletDisk
from engine.records.outlets import Outlet
from engine.records.sealed_record import RecordCodec
from engine.records.settings import OutletSettings
from engine.sealing.cipher import Sealer
from engine.sealing.signing import PublicKeys, SigningKeys, public_pem
from engine.sealing.tokens import LookupTokens
from tests.records.samples import RING

SIGNING = SigningKeys({1: bytes(range(32))}, 1)


class HeldKeys:
    """`ring`: the keys that are here now."""

    def __init__(self) -> None:
        self.ring = RING

    def codec(self) -> RecordCodec:
        return RecordCodec(Sealer(self.ring), LookupTokens(self.ring.lookup))

    def signing(self) -> SigningKeys:
        return SIGNING


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Place:
    """A data directory, and outlets of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock = Clock()
        self.keys = HeldKeys()

    @property
    def records(self) -> Path:
        return self.root / "records"

    def outlet(self, name: str = "billing", disk: OutletDisk | None = None, **settings: Any) -> Outlet:
        return Outlet(
            OutletSettings(name=name, **settings), "mask700-1", self.root, self.root / "outlets",
            [self.records, self.root / "spare"], self.keys, disk or OutletDisk(), self.clock,
        )  # fmt: skip

    def files(self, name: str = "billing", form: str = "csv") -> list[Path]:
        """Those that have got their name."""
        return sorted((self.root / "outlets" / name).glob(f"*.{form}"))

    def leftovers(self) -> list[str]:
        return sorted(
            path.name for path in self.root.rglob("*") if ".part" in path.name or path.name[0] == "."
        )

    def ids(self, name: str = "billing", form: str = "csv") -> list[int]:
        """The numbers of the records in them, file by file; each has its manifest."""
        found = []
        for path in self.files(name, form):
            manifest = read_manifest(path)
            rows = rows_of(path)
            assert (manifest["file"], manifest["records"]) == (path.name, len(rows))
            assert manifest["bytes"] == path.stat().st_size
            assert manifest["sha256"] == sha256(path.read_bytes()).hexdigest()
            found += [int(row["record_id"], 16) for row in rows]
        return found


def rows_of(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_bytes().splitlines()]
    return list(csv.DictReader(io.StringIO(path.read_text("utf-8"), newline="")))


def read_manifest(path: Path) -> dict[str, Any]:
    """Its statement; the signature is proven."""
    content = path.with_name(path.name + ".manifest").read_bytes()
    line, _, signature = content.partition(b"\n")
    statement: dict[str, Any] = json.loads(line)
    key = load_pem_public_key(public_pem(SIGNING.private[1]))
    assert isinstance(key, Ed25519PublicKey)
    assert PublicKeys({1: key}).verifies(statement["key"], b64decode(signature), line + b"\n")
    assert statement["manifest"] == "mask700 outlet file 1"
    return statement

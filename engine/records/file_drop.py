"""Files of records for others' programs, as a billing system takes them: whole or not at all, each with a manifest.

`NAME-NODE-<number>.csv` (or `.jsonl`), ten digits counted up by one, is written as `….part`, brought to the disk and
renamed; then its manifest, `….csv.manifest`. So whoever takes a file when its manifest is there has all of it. All are
for their owner only (mode 0600), as the directory is when it is made here.

A manifest is two lines: a JSON object (`Manifest`), and in base64 the Ed25519 signature (RFC 8032) of the first line,
its line feed included, by the node's signing key. Proven with openssl:

    head -n 1 FILE.manifest > statement; tail -n 1 FILE.manifest | base64 -d > signature
    openssl pkeyutl -verify -pubin -inkey signing-1.pub -rawin -in statement -sigfile signature

Where `after` is the `last` of the file before, nothing is missing between the two, whatever their numbers.
"""

from __future__ import annotations

import contextlib
import re
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec

from engine.records.following import Place
from engine.records.outlet_disk import OutletDisk
from engine.records.outlet_place import Publishing
from engine.records.outlet_rows import masked_record
from engine.records.ports import Signing
from engine.records.query import Found
from engine.records.rows import header, line_of
from engine.records.seals import hash_of
from engine.records.settings import OutletSettings

KIND: Final = "mask700 outlet file 1"

_BUFFER = 1 << 18


class Manifest(msgspec.Struct, frozen=True):
    """`file`: its name; `number`: the outlet's files are counted up by one; one that was never published has none.
    `records`: how many lines, without the header; `bytes`, `sha256`: of the whole file. `after`: the position behind
    which its first record was looked for; `first`, `last`: of its first and last record. `first_time`, `last_time`:
    the earliest and latest release, or else setup, of a call in it. `key`: the id of the key that signs."""

    manifest: str
    outlet: str
    node: str
    file: str
    number: int
    format: str
    numbers: str
    records: int
    bytes: int
    sha256: str
    after: str
    first: str
    last: str
    first_time: str | None
    last_time: str | None
    key: int


class FileDrop:
    """Writes one file after the other. `records`: in the one that is being written. Every method raises OSError."""

    def __init__(
        self,
        settings: OutletSettings,
        directory: Path,
        node: str,
        signing: Callable[[], Signing],
        disk: OutletDisk,
    ) -> None:
        """`signing` gives the keys of the moment."""
        self.records = 0
        self._settings = settings
        self._directory = directory
        self._node = node
        self._signing = signing
        self._disk = disk
        self._line = line_of(settings.format)
        self._masks = settings.numbers == "masked"
        self._largest = settings.rotate_mib << 20
        self._descriptor = -1

    @property
    def is_open(self) -> bool:
        """Whether a file is being written."""
        return self._descriptor >= 0

    def next_number(self) -> int:
        """Behind all files that lie here."""
        numbers = [0]
        if self._directory.is_dir():
            pattern = re.compile(re.escape(self._stem) + r"([0-9]{10})\.")
            numbers += [
                int(match[1]) for path in self._directory.iterdir() if (match := pattern.match(path.name))
            ]
        return max(numbers) + 1

    def clean(self) -> None:
        """Removes what an outlet that died has not completed."""
        pattern = re.compile(
            rf"\.?{re.escape(self._stem)}[0-9]{{10}}\.[a-z]+(\.manifest)?\.part(\.[0-9a-f]+)?"
        )
        if self._directory.is_dir():
            for path in self._directory.iterdir():
                if pattern.fullmatch(path.name):
                    self._disk.remove(path)

    def begin(self, number: int, after: Place, now: float) -> None:
        """`now`: seconds of a clock that nobody sets."""
        self._disk.make_directory(self._directory)
        self._number = number
        self._path = self._directory / f"{self._stem}{number:010d}.{self._settings.format}"
        self._after = after
        self._first: Place | None = None
        self._times: tuple[str, str] | None = None
        self._hash = sha256()
        self._lines = [header(self._settings.format)]
        self._waiting = self._size = len(self._lines[0])
        self._due = now + self._settings.rotate_s
        self._descriptor = self._disk.begin(part(self._path))

    def add(self, found: Found, place: Place) -> None:
        """`place`: behind it."""
        record = found.record
        line = self._line(Found(found.position, masked_record(record)) if self._masks else found)
        self._lines.append(line)
        self._waiting += len(line)
        self._size += len(line)
        self.records += 1
        self._last = place
        if self._first is None:
            self._first = place
        time = record["release_time"] or record["setup_time"]
        if isinstance(time, str):
            low, high = self._times or (time, time)
            self._times = min(low, time), max(high, time)
        if self._waiting >= _BUFFER:
            self._write()

    def is_due(self, now: float) -> bool:
        """Whether the file is large or old enough."""
        return self.is_open and (self._size >= self._largest or now >= self._due)

    def complete(self) -> Publishing:
        """Brings the file and its manifest to the disk; what is left is to publish them."""
        assert self._first is not None
        self._write()
        self._disk.sync(self._descriptor)
        self._close()
        digest = self._hash.hexdigest()
        signing = self._signing()
        low, high = self._times or (None, None)
        manifest = Manifest(
            KIND, self._settings.name, self._node, self._path.name, self._number, self._settings.format,
            self._settings.numbers, self.records, self._size, digest, str(self._after.position),
            str(self._first.position), str(self._last.position), low, high, signing.current,
        )  # fmt: skip
        line = msgspec.json.encode(manifest) + b"\n"
        self._disk.put(part(manifest_path(self._path)), line + b64encode(signing.sign(line)) + b"\n")
        return Publishing(
            str(self._path),
            self._size,
            digest,
            self.records,
            str(self._last.position),
            self._last.chain.hex(),
        )

    def publish(self, publishing: Publishing) -> bool:
        """Gives file and manifest their names, or finds that they have them; false when neither can be: somebody else
        has taken them away, before or after."""
        path = Path(publishing.path)
        manifest = manifest_path(path)
        done = _is(path, publishing)
        if not done and not path.exists() and _is(part(path), publishing):
            self._disk.rename(part(path), path)
            done = True
        if part(manifest).exists() and done:
            self._disk.rename(part(manifest), manifest)
        if path.parent.is_dir():
            self._disk.sync_directory(path.parent)
        self.records = 0
        return done and manifest.exists()

    def abandon(self) -> None:
        """Gives up the file that is being written; not one that is complete."""
        if self.is_open:
            with contextlib.suppress(OSError):
                self._close()
            with contextlib.suppress(OSError):
                self._disk.remove(part(self._path))
        self.records = 0

    @property
    def _stem(self) -> str:
        return f"{self._settings.name}-{self._node}-"

    def _write(self) -> None:
        data = b"".join(self._lines)
        self._disk.append(self._descriptor, data)
        self._hash.update(data)
        self._lines.clear()
        self._waiting = 0

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            self._disk.close(descriptor)


def manifest_path(path: Path) -> Path:
    """Where the manifest of a file lies."""
    return path.with_name(f"{path.name}.manifest")


def part(path: Path) -> Path:
    """What a file is called until it is complete."""
    return path.with_name(f"{path.name}.part")


def _is(path: Path, publishing: Publishing) -> bool:
    try:
        with path.open("rb") as file:
            if file.seek(0, 2) != publishing.size:
                return False
            return hash_of(file, publishing.size) == publishing.sha256
    except FileNotFoundError:
        return False

"""Keys are made once, whole, for their owner only; whatever else lies there is refused by name."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from engine.sealing.cipher import SealBroken, Sealer
from engine.sealing.keys import LOOKUP_VARIABLE, SEALING_VARIABLE, KeyRing, KeysUnusable, rotate_sealing

HEX = "00112233445566778899aabbccddeeff" * 2
OTHER_HEX = "ffeeddccbbaa99887766554433221100" * 2

START = """
import sys
from pathlib import Path
from engine.sealing.keys import KeyRing
sys.stdin.read(1)  # all starters wait here for one another
ring = KeyRing.open(Path(sys.argv[1]), {})
print(ring.sealing[1].hex(), ring.lookup.hex())
"""


def test_the_first_start_makes_keys_that_only_the_owner_can_read(tmp_path: Path) -> None:
    made: list[str] = []
    directory = tmp_path / "var" / "keys"
    ring = KeyRing.open(directory, {}, made.append)
    assert made == [str(directory / "sealing-1.key"), str(directory / "lookup.key")]
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert sorted(os.listdir(directory)) == ["lookup.key", "sealing-1.key"]
    for name in os.listdir(directory):
        assert stat.S_IMODE((directory / name).stat().st_mode) == 0o600
    assert ring.current == 1
    assert len(ring.sealing[1]) == len(ring.lookup) == 32
    assert ring.sealing[1] != ring.lookup


def test_a_later_start_reads_the_same_keys_and_makes_none(tmp_path: Path) -> None:
    made: list[str] = []
    first = KeyRing.open(tmp_path / "keys", {})
    assert KeyRing.open(tmp_path / "keys", {}, made.append) == first
    assert made == []


def test_starters_at_once_agree_on_the_keys(tmp_path: Path) -> None:
    starters = [
        subprocess.Popen(
            [sys.executable, "-c", START, str(tmp_path / "keys")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for starter in starters:
        assert starter.stdin is not None
        starter.stdin.write("x")
        starter.stdin.flush()
    seen = {starter.communicate()[0] for starter in starters}
    ring = KeyRing.open(tmp_path / "keys", {}, create=False)
    assert seen == {f"{ring.sealing[1].hex()} {ring.lookup.hex()}\n"}
    assert sorted(os.listdir(tmp_path / "keys")) == ["lookup.key", "sealing-1.key"]


def test_who_only_reads_makes_no_keys(tmp_path: Path) -> None:
    with pytest.raises(KeysUnusable, match=f"{tmp_path}/keys: there are no keys"):
        KeyRing.open(tmp_path / "keys", {}, create=False)
    (tmp_path / "keys").mkdir(mode=0o700)
    with pytest.raises(KeysUnusable, match=r"keys/sealing-1\.key: there is no such key"):
        KeyRing.open(tmp_path / "keys", {}, create=False)
    assert os.listdir(tmp_path / "keys") == []


@pytest.mark.parametrize(
    "content", [b"", b"\n", HEX[:-2].encode(), HEX.encode() + b"00", HEX[:-1].encode() + b"g", b"\xff" * 32]
)
def test_a_damaged_key_is_named_and_left_alone(tmp_path: Path, content: bytes) -> None:
    KeyRing.open(tmp_path / "keys", {})
    path = tmp_path / "keys" / "lookup.key"
    path.write_bytes(content)
    with pytest.raises(KeysUnusable, match=r"keys/lookup\.key: a key is 64 hexadecimal digits"):
        KeyRing.open(tmp_path / "keys", {})
    assert path.read_bytes() == content


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_key_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    KeyRing.open(tmp_path / "keys", {})
    (tmp_path / "keys" / "sealing-1.key").chmod(mode)
    with pytest.raises(
        KeysUnusable, match=rf"sealing-1\.key: others than its owner may read it \(mode {mode:04o}\)"
    ):
        KeyRing.open(tmp_path / "keys", {})


def test_a_directory_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys").chmod(0o755)
    with pytest.raises(KeysUnusable, match=r"keys: others than its owner may enter \(mode 0755\)"):
        KeyRing.open(tmp_path / "keys", {})


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(KeysUnusable, match=f"{tmp_path}/file/keys: "):
        KeyRing.open(tmp_path / "file" / "keys", {})


def test_what_a_killed_start_left_is_no_key(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir(mode=0o700)
    (tmp_path / "keys" / ".lookup.key.0123456789abcdef").write_text(HEX[:20])
    ring = KeyRing.open(tmp_path / "keys", {})
    assert KeyRing.open(tmp_path / "keys", {}) == ring


def test_rotation_the_highest_id_seals_and_the_others_stay(tmp_path: Path) -> None:
    first = KeyRing.open(tmp_path / "keys", {})
    path = tmp_path / "keys" / "sealing-12.key"
    path.touch(0o600)
    path.write_text(HEX)
    rotated = KeyRing.open(tmp_path / "keys", {})
    assert rotated.current == 12
    assert rotated.sealing == {1: first.sealing[1], 12: bytes.fromhex(HEX)}
    assert rotated.lookup == first.lookup


@pytest.mark.parametrize("name", ["sealing-0.key", "sealing-256.key", "sealing-01.key"])
def test_an_impossible_or_doubled_id_is_refused(tmp_path: Path, name: str) -> None:
    KeyRing.open(tmp_path / "keys", {})
    path = tmp_path / "keys" / name
    path.touch(0o600)
    path.write_text(HEX)
    with pytest.raises(KeysUnusable, match="key ids are 1 to 255, each once"):
        KeyRing.open(tmp_path / "keys", {})


def test_configured_keys_leave_no_file(tmp_path: Path) -> None:
    environment = {SEALING_VARIABLE: f"2:{HEX}, 1:{OTHER_HEX}", LOOKUP_VARIABLE: OTHER_HEX}
    ring = KeyRing.open(tmp_path / "keys", environment, create=False)
    assert ring.current == 2
    assert ring.sealing == {1: bytes.fromhex(OTHER_HEX), 2: bytes.fromhex(HEX)}
    assert ring.lookup == bytes.fromhex(OTHER_HEX)
    assert not (tmp_path / "keys").exists()


@pytest.mark.parametrize(
    "text",
    [HEX, f"0:{HEX}", f"256:{HEX}", f"one:{HEX}", f"1:{HEX[2:]}", f"1:{HEX},1:{HEX}", f"1:{HEX},", "1:"],
)
def test_keys_that_are_configured_wrongly_are_refused_without_being_shown(tmp_path: Path, text: str) -> None:
    with pytest.raises(KeysUnusable, match=SEALING_VARIABLE) as refusal:
        KeyRing.open(tmp_path / "keys", {SEALING_VARIABLE: text})
    assert HEX[2:] not in str(refusal.value)


def test_printing_a_ring_shows_no_key(tmp_path: Path) -> None:
    ring = KeyRing.open(tmp_path / "keys", {})
    shown = repr(ring)
    for key in (ring.lookup, ring.sealing[1]):
        assert key.hex() not in shown
        assert repr(key) not in shown


def test_after_a_rotation_the_new_key_seals_and_the_old_one_opens(tmp_path: Path) -> None:
    old = KeyRing.open(tmp_path / "keys", {})
    sealer = Sealer(old)
    before = sealer.seal(b"before", b"")
    assert rotate_sealing(tmp_path / "keys", {}) == (2, tmp_path / "keys" / "sealing-2.key")
    ring = KeyRing.open(tmp_path / "keys", {}, create=False)
    assert (ring.current, ring.sealing[1], ring.lookup) == (2, old.sealing[1], old.lookup)
    after = Sealer(ring).seal(b"after", b"")
    with pytest.raises(SealBroken):
        sealer.open(after, b"")
    sealer.take(ring)
    assert sealer.open(before, b"") == b"before"
    assert sealer.open(after, b"") == b"after"
    assert sealer.seal(b"x", b"")[1] == 2


def test_keys_of_the_environment_are_rotated_there(tmp_path: Path) -> None:
    with pytest.raises(KeysUnusable, match=f"the keys stand in {SEALING_VARIABLE}"):
        rotate_sealing(tmp_path, {SEALING_VARIABLE: f"1:{HEX}"})


def test_there_are_no_more_keys_than_ids(tmp_path: Path) -> None:
    KeyRing.open(tmp_path / "keys", {})
    (tmp_path / "keys" / "sealing-1.key").rename(tmp_path / "keys" / "sealing-255.key")
    with pytest.raises(KeysUnusable, match="no ids behind 255"):
        rotate_sealing(tmp_path / "keys", {})

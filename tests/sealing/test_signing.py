"""Keys that sign: made once, proven by their public halves, also by others' programs."""

import os
import shutil
import stat
import subprocess
from base64 import b64encode
from pathlib import Path

import pytest

from engine.sealing.keys import KeysUnusable
from engine.sealing.signing import (
    SIGNATURE_BYTES,
    SIGNING_VARIABLE,
    PublicKeys,
    SigningKeys,
    newest_id,
    public_file,
    public_pem,
    rotate_signing,
)

HEX = "00112233445566778899aabbccddeeff" * 2


def test_the_first_start_makes_a_pair(tmp_path: Path) -> None:
    made: list[str] = []
    keys = SigningKeys.open(tmp_path / "keys", {}, made.append)
    assert made == [str(tmp_path / "keys" / "signing-1.key")]
    assert sorted(os.listdir(tmp_path / "keys")) == ["signing-1.key", "signing-1.pub"]
    assert stat.S_IMODE((tmp_path / "keys" / "signing-1.key").stat().st_mode) == 0o600
    assert keys.current == 1
    assert SigningKeys.open(tmp_path / "keys", {}, create=False) == keys


def test_a_public_half_that_is_missing_is_made_again(tmp_path: Path) -> None:
    keys = SigningKeys.open(tmp_path / "keys", {})
    path = public_file(tmp_path / "keys", 1)
    path.unlink()
    SigningKeys.open(tmp_path / "keys", {}, create=False)
    assert not path.exists()
    SigningKeys.open(tmp_path / "keys", {})
    assert path.read_bytes() == public_pem(keys.private[1])


def test_who_only_reads_makes_no_key(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir(mode=0o700)
    with pytest.raises(KeysUnusable, match=r"signing-1\.key: there is no such key"):
        SigningKeys.open(tmp_path / "keys", {}, create=False)


def test_a_signature_is_proven_by_the_key_that_made_it(tmp_path: Path) -> None:
    first = SigningKeys.open(tmp_path / "keys", {})
    signature = first.sign(b"text")
    assert len(signature) == SIGNATURE_BYTES
    public = PublicKeys.open(tmp_path / "keys", {})
    assert public.verifies(1, signature, b"text")
    assert not public.verifies(1, signature, b"texT")
    assert not public.verifies(1, signature[:-1] + bytes((signature[-1] ^ 1,)), b"text")
    assert not public.verifies(1, b"", b"text")
    assert not public.verifies(2, signature, b"text")


def test_after_a_rotation_both_are_proven(tmp_path: Path) -> None:
    directory = tmp_path / "keys"
    old = SigningKeys.open(directory, {}).sign(b"text")
    assert rotate_signing(directory, {}) == (2, directory / "signing-2.key")
    keys = SigningKeys.open(directory, {}, create=False)
    assert keys.current == 2
    new = keys.sign(b"text")
    public = PublicKeys.open(directory, {})
    assert public.verifies(1, old, b"text")
    assert public.verifies(2, new, b"text")
    assert not public.verifies(2, old, b"text")
    given = PublicKeys.of_files([directory / "signing-1.pub"])
    assert given.verifies(1, old, b"text")
    assert given.verifies(7, old, b"text")
    assert not given.verifies(2, new, b"text")


def test_the_newest_id_is_known_without_the_key(tmp_path: Path) -> None:
    SigningKeys.open(tmp_path / "keys", {})
    rotate_signing(tmp_path / "keys", {})
    for key_id in (1, 2):
        (tmp_path / "keys" / f"signing-{key_id}.key").unlink()
    assert newest_id(tmp_path / "keys", {}) == 2
    assert newest_id(tmp_path, {}) == 0
    assert newest_id(tmp_path / "none", {SIGNING_VARIABLE: f"3:{HEX},1:{HEX}"}) == 3
    assert newest_id(tmp_path / "none", {}) == 0


def test_keys_of_the_environment(tmp_path: Path) -> None:
    environment = {SIGNING_VARIABLE: f"3:{HEX}"}
    keys = SigningKeys.open(tmp_path / "none", environment)
    assert keys.current == 3
    assert PublicKeys.open(tmp_path / "none", environment).verifies(3, keys.sign(b"x"), b"x")
    assert not (tmp_path / "none").exists()
    with pytest.raises(KeysUnusable, match=f"the keys stand in {SIGNING_VARIABLE}"):
        rotate_signing(tmp_path / "none", environment)


@pytest.mark.parametrize(
    "content", [b"", b"x", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"]
)
def test_what_is_no_public_key_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "signing-1.pub"
    path.write_bytes(content)
    with pytest.raises(KeysUnusable, match=r"signing-1\.pub: is no public key in PEM"):
        PublicKeys.of_files([path])
    with pytest.raises(KeysUnusable, match="No such file"):
        PublicKeys.of_files([tmp_path / "missing"])


@pytest.mark.skipif(shutil.which("openssl") is None, reason="it is not here")
def test_openssl_proves_it_too(tmp_path: Path) -> None:
    keys = SigningKeys.open(tmp_path / "keys", {})
    (tmp_path / "data").write_bytes(b"text\n")
    (tmp_path / "signature").write_bytes(keys.sign(b"text\n"))
    command = [
        "openssl",
        "pkeyutl",
        "-verify",
        "-pubin",
        "-inkey",
        str(public_file(tmp_path / "keys", 1)),
        "-rawin",
    ]
    command += ["-in", str(tmp_path / "data"), "-sigfile", str(tmp_path / "signature")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Verified Successfully" in done.stdout
    assert b64encode(keys.private[1]) not in public_file(tmp_path / "keys", 1).read_bytes()

"""TOML and --set become Settings, or every problem with its place."""

from dataclasses import fields
from pathlib import Path

import pytest

from engine.settings import Problem, Settings, SettingsError, changed_keys, examine_settings, load_settings

GOOD = """\
data_dir = "here"
[sip]
listen = ["udp://127.0.0.1:5060"]
t1_ms = 250
[[trunks]]
name = "pstn"
peers = ["127.0.0.0/8"]
next_hops = ["udp://127.0.0.1:5090"]
prefixes = [""]
[[trunks]]
name = "other"
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "engine.toml"
    path.write_text(text, "utf-8")
    return path


def problems(tmp_path: Path, text: str, *overrides: str) -> list[str]:
    """The problems, without the directory of the file."""
    path = write(tmp_path, text)
    with pytest.raises(SettingsError) as caught:
        load_settings(path, list(overrides))
    return [str(problem).removeprefix(f"{tmp_path}/") for problem in caught.value.problems]


def test_values_types_and_defaults(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, GOOD), [])
    assert settings.data_dir == Path("here")
    assert settings.sip.t1_ms == 250
    assert settings.sip.t2_ms == 4000
    assert settings.calls.ring_timeout_s == 180
    assert [trunk.name for trunk in settings.trunks] == ["pstn", "other"]
    assert settings.trunks[0].next_hops == ["udp://127.0.0.1:5090"]
    assert settings.control_socket == Path("here/control.sock")


def test_an_empty_file_is_all_defaults(tmp_path: Path) -> None:
    assert load_settings(write(tmp_path, ""), []) == Settings()


def test_defaults_are_good_themselves(tmp_path: Path) -> None:
    assert examine_settings(write(tmp_path, ""), [])[1] == []


def test_the_lab_configuration_is_good() -> None:
    lab = Path(__file__).parent.parent / "config" / "lab.toml"
    settings = load_settings(lab, [])
    assert settings.sip.listen == ["udp://127.0.0.1:5060", "tcp://127.0.0.1:5060"]
    assert settings.control.address() == ("127.0.0.1", 8700)


def test_every_problem_at_once_with_its_line(tmp_path: Path) -> None:
    text = """\
nodee = "x"
[sip]
listen = ["udp://127.0.0.1:5060",
  "tls://127.0.0.1:5061",
  5060]
workers = 4
t1_ms = "fast"
advertise = "1.2.3"
[bindings]
store = "redis"
[authorization]
legacy_middle_numbers = "allow"
[log]
level = "loud"
[[trunks]]
name = "a"
peers = ["127.0.0.1/8"]
trust_identity = 1
[[trunks]]
name = "a"
weight = 3
[zebra]
"""
    assert problems(tmp_path, text) == [
        "engine.toml:1: nodee: unknown key; did you mean node?",
        "engine.toml:5: sip.listen[2]: must be text in quotes, not 5060",
        "engine.toml:6: sip.workers: more than one worker is not built yet",
        'engine.toml:7: sip.t1_ms: must be a whole number, not "fast"',
        'engine.toml:8: sip.advertise: "1.2.3" is neither an IP address nor a host name',
        "engine.toml:10: bindings.store: redis is not built yet; use lmdb",
        'engine.toml:12: authorization.legacy_middle_numbers: "allow" is not built yet',
        'engine.toml:14: log.level: must be "debug", "info", "warning" or "error", not "loud"',
        'engine.toml:17: trunks.a.peers[0]: "127.0.0.1/8" names an address inside its network: '
        "write 127.0.0.0/8 or the address alone",
        "engine.toml:18: trunks.a.trust_identity: must be true or false, not 1",
        'engine.toml:20: trunks.a.name: "a" is the name of another trunk too',
        "engine.toml:21: trunks.a.weight: unknown key",
        "engine.toml:22: zebra: unknown key",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '[sip]\nlisten = ["tls://127.0.0.1:5061"]',
            '2: sip.listen[0]: "tls://127.0.0.1:5061": TLS is not built yet',
        ),
        ("[sip]\nlisten = []", "2: sip.listen: needs at least one address"),
        (
            '[sip]\nlisten = ["udp://127.0.0.1:1",\n"udp://127.0.0.1:1"]',
            '3: sip.listen[1]: "udp://127.0.0.1:1" stands here twice',
        ),
        ('[sip]\nlisten = ["udp://host:1"]', '2: sip.listen[0]: "udp://host:1": "host" is not an IP address'),
        (
            '[sip]\nlisten = ["udp://[::1]:0"]',
            '2: sip.listen[0]: "udp://[::1]:0": the port must be 1 to 65535',
        ),
        ("[sip]\nt2_ms = 100", "2: sip.t2_ms: must not be shorter than t1_ms (500)"),
        ("[sip]\nmax_calls = 0", "2: sip.max_calls: must be 1 to 10000000, not 0"),
        ("[calls]\nfirst_response_s = 1.5", "2: calls.first_response_s: must be a whole number, not 1.5"),
        ("calls = 1", "1: calls: must be a table, not 1"),
        ("trunks = 1", "1: trunks: must be an array, not 1"),
        ("trunks = [1]", "1: trunks[0]: must be a table, not 1"),
        ("[sip]\nlisten = true", "2: sip.listen: must be an array, not true"),
        ('data_dir = ""', "1: data_dir: must be a path"),
        ('node = "a b"', '1: node: "a b" must be 1 to 64 of A-Z a-z 0-9 _ . -'),
        (
            '[control]\nlisten = "localhost:80"',
            '2: control.listen: "localhost:80" must look like 127.0.0.1:8700',
        ),
        (
            '[control]\nlisten = "127.0.0.1:5060"',
            '2: control.listen: "127.0.0.1:5060" stands in sip.listen too',
        ),
        (
            '[[trunks]]\nname = "t"\nnext_hops = ["tcp://127.0.0.1:5060"]',
            '3: trunks.t.next_hops[0]: "tcp://127.0.0.1:5060" is the engine itself: its calls would come back',
        ),
    ],
)
def test_one_problem(tmp_path: Path, text: str, expected: str) -> None:
    found = problems(tmp_path, text)
    assert f"engine.toml:{expected}" in found
    assert len(found) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a = 1\nb = ]\n", "engine.toml:2:5: Invalid value"),
        ("a = 1\na = 2\n", "engine.toml:2:6: Cannot overwrite a value"),
        ("[a\n", "engine.toml:1:3: Expected ']' at the end of a table declaration"),
        ("a = [1,\n2", "engine.toml:2: Unclosed array"),
    ],
)
def test_syntax_errors_have_line_and_column(tmp_path: Path, text: str, expected: str) -> None:
    assert problems(tmp_path, text) == [expected]


def test_a_file_that_is_not_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "engine.toml"
    path.write_bytes(b"node = 'x'\n# \xff\n")
    _, found = examine_settings(path, [])
    assert found == [Problem(str(path), 2, 0, "", "is not UTF-8")]


def test_a_missing_file(tmp_path: Path) -> None:
    _, found = examine_settings(tmp_path / "none.toml", [])
    assert [str(one) for one in found] == [f"{tmp_path}/none.toml: No such file or directory"]


def test_overrides_win_over_the_file(tmp_path: Path) -> None:
    settings = load_settings(
        write(tmp_path, GOOD),
        [
            "sip.t1_ms=100",
            'sip.listen = ["tcp://127.0.0.1:5070"]',
            "calls.ring_timeout_s=9",
            'data_dir="elsewhere"',
            'control={listen="127.0.0.1:9"}',
        ],
    )
    assert (settings.sip.t1_ms, settings.sip.listen) == (100, ["tcp://127.0.0.1:5070"])
    assert settings.calls.ring_timeout_s == 9
    assert settings.data_dir == Path("elsewhere")
    assert settings.control.listen == "127.0.0.1:9"


def test_the_last_override_of_a_key_counts(tmp_path: Path) -> None:
    assert load_settings(write(tmp_path, ""), ["sip.t1_ms=100", "sip.t1_ms=200"]).sip.t1_ms == 200


def test_tables_of_an_array_are_overridden_by_name(tmp_path: Path) -> None:
    settings = load_settings(
        write(tmp_path, GOOD),
        [
            'trunks.pstn.next_hops=["udp://127.0.0.2:5090"]',
            'trunks.new.peers=["10.0.0.0/8"]',
            "trunks.new.trust_identity=true",
        ],
    )
    assert [trunk.name for trunk in settings.trunks] == ["pstn", "other", "new"]
    assert settings.trunks[0].next_hops == ["udp://127.0.0.2:5090"]
    assert settings.trunks[0].peers == ["127.0.0.0/8"]
    assert (settings.trunks[2].peers, settings.trunks[2].trust_identity) == (["10.0.0.0/8"], True)


def test_a_whole_array_of_tables_can_be_replaced(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, GOOD), ['trunks=[{name="only"}]', "trunks.only.enabled=false"])
    assert [(trunk.name, trunk.enabled) for trunk in settings.trunks] == [("only", False)]


def test_problems_of_overrides_name_the_option(tmp_path: Path) -> None:
    text = GOOD + "[calls]\nring_timeout_s = 0\n"
    assert problems(
        tmp_path,
        text,
        "sip.workers=2",
        'trunks.pstn.next_hops=["udp://127.0.0.1:5090", "sctp://x"]',
        "trunks.new.peer=[]",
        "log.level=debug",
        "nonsense",
        "sip.t1=1",
        "calls.first_response_s=99",
    ) == [
        "engine.toml:13: calls.ring_timeout_s: must be 1 to 3600, not 0",
        "--set: log.level: is no TOML value: Invalid value; text needs its quotes",
        '--set: "nonsense" must be dotted.key=TOML-value',
        "--set: sip.t1: unknown key; did you mean t1_ms?",
        "--set: trunks.new.peer: unknown key; did you mean peers?",
        "--set: sip.workers: more than one worker is not built yet",
        "--set: calls.first_response_s: must be 1 to 32, not 99",
        '--set: trunks.pstn.next_hops[1]: "sctp://x": transport must be udp or tcp',
    ]


def test_a_problem_of_the_file_that_an_override_mends_is_none(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, "[sip]\nworkers = 2"), ["sip.workers=1"])
    assert settings.sip.workers == 1


def test_what_can_be_read_is_there_beside_the_problems(tmp_path: Path) -> None:
    settings, found = examine_settings(
        write(tmp_path, '[bindings]\ntable = "t.csv"\n[sip]\nworkers = 0\nt1_ms = "x"'), []
    )
    assert settings.bindings.table == "t.csv"
    assert settings.sip.t1_ms == 500
    assert [one.key for one in found] == ["sip.workers", "sip.t1_ms"]


def test_lines_survive_windows_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "engine.toml"
    path.write_bytes(b"node = 'x'\r\n[sip]\r\nworkers = 2\r\n")
    _, found = examine_settings(path, [])
    assert [(one.line, one.key) for one in found] == [(3, "sip.workers")]


def test_changed_keys_name_what_differs(tmp_path: Path) -> None:
    before = load_settings(write(tmp_path, GOOD), [])
    after = load_settings(
        tmp_path / "engine.toml",
        ["sip.t1_ms=100", 'log.level="debug"', "trunks.pstn.enabled=false", "trunks.x.symmetric=true"],
    )
    assert changed_keys(before, before) == []
    new_trunk = {f"trunks.x.{one.name}" for one in fields(after.trunks[0])}
    assert set(changed_keys(before, after)) == {"sip.t1_ms", "log.level", "trunks.pstn.enabled"} | new_trunk

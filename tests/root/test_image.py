"""What the Dockerfile promises: steps that exist and can be run without Docker, no root, nothing to build with."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from engine.settings import load_settings
from tests.flows.stage import ROOT
from tests.root.image.dockerfile import Stage, Unreadable, ignored, read_stages

SCRIPTS = sorted(path for path in (ROOT / "scripts").iterdir() if path.is_file() and path.suffix != ".py")
STAGES = {stage.name: stage for stage in read_stages((ROOT / "Dockerfile").read_text(encoding="utf-8"))}
PATTERNS = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()


def words(stage: Stage, name: str) -> tuple[str, ...]:
    found = stage.last(name)
    assert found is not None, f"{stage.name} has no {name}"
    return found.words


def test_the_engine_is_what_a_build_gives() -> None:
    assert list(STAGES) == ["build", "sipp", "engine"]
    assert len({stage.base for stage in STAGES.values()}) == 1


def test_what_is_copied_is_there() -> None:
    for number, stage in enumerate(STAGES.values()):
        for one in stage.instructions:
            if one.name != "COPY":
                continue
            origin = one.flags.get("from")
            if origin is not None:
                assert origin in list(STAGES)[:number]
                continue
            for source in one.words[:-1]:
                assert (ROOT / source).exists(), source
                assert not ignored(source, PATTERNS), source


def test_every_step_is_a_script_of_the_repository() -> None:
    for stage in STAGES.values():
        for one in stage.instructions:
            if one.name == "RUN":
                for command in one.words[0].split(" && "):
                    name = Path(command.split()[0]).name
                    assert name == "rm" or ROOT / "scripts" / name in SCRIPTS


@pytest.mark.parametrize("name", ["engine", "sipp"])
def test_nobody_runs_as_root(name: str) -> None:
    user, group = words(STAGES[name], "USER")[0].split(":")
    assert int(user) > 0
    assert int(group) > 0
    assert STAGES[name].instructions[-1].name in ("CMD", "ENTRYPOINT")


def test_the_user_is_the_one_that_owns_the_data() -> None:
    script = (ROOT / "scripts" / "image-user").read_text(encoding="utf-8")
    user, group = words(STAGES["engine"], "USER")[0].split(":")
    assert f"--uid {user} --gid {group} " in script
    data_dir = words(STAGES["engine"], "VOLUME")[0]
    assert f"install -d -o mask700 -g mask700 -m 0700 {data_dir}\n" in script


def test_the_engine_is_told_to_drain_and_asked_how_it_is() -> None:
    engine = STAGES["engine"]
    assert words(engine, "STOPSIGNAL") == ("SIGTERM",)
    assert words(engine, "HEALTHCHECK") == ("mask700", "health")
    assert words(engine, "ENTRYPOINT") + words(engine, "CMD") == ("mask700", "serve")


def test_the_label_says_the_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    labels = dict(label.split("=", 1) for label in words(STAGES["engine"], "LABEL"))
    assert labels["org.opencontainers.image.version"] == project["version"]


def test_its_configuration_is_good_and_admits_nobody() -> None:
    settings = load_settings(ROOT / "config" / "container.toml", [])
    assert settings.trunks == []
    assert settings.bindings.table == ""
    assert str(settings.data_dir) == words(STAGES["engine"], "VOLUME")[0]
    assert settings.control.address()[0] == "127.0.0.1"
    copied = [one.words for one in STAGES["engine"].instructions if one.name == "COPY"]
    place = dict(pair.split("=", 1) for pair in words(STAGES["engine"], "ENV"))["MASK700_CONFIG"]
    assert ("config/container.toml", place) in copied


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_every_script_can_be_run_and_read(script: Path) -> None:
    assert os.access(script, os.X_OK)
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0
    assert "set -euo pipefail" in script.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["image-python", "walk"], "image-python: build or run\n"),
        (["image-install", "half", "/nowhere"], "image-install: dependencies or engine\n"),
        (["image-check", "tea"], "image-check: image or setup\n"),
    ],
)
def test_a_step_that_there_is_not_is_refused(command: list[str], said: str) -> None:
    script, *arguments = command
    done = subprocess.run(
        [str(ROOT / "scripts" / script), *arguments], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (2, said)


def test_the_flows_lie_in_the_image_as_sipp_reads_them(tmp_path: Path) -> None:
    subprocess.run([str(ROOT / "scripts" / "image-flows"), sys.prefix, str(tmp_path)], check=True)
    load = tmp_path / "load"
    assert {path.name for path in load.iterdir()} == {"uac.xml", "uas.xml", "calls.csv"}
    for scenario in tmp_path.glob("*/*.xml"):
        assert "<?include" not in scenario.read_text(encoding="utf-8"), scenario
    assert not (tmp_path / "parts").exists()


def test_a_dockerfile_is_read() -> None:
    build, run = read_stages(
        "# why\nFROM one AS build\nRUN a && \\\n  # aside\n  b\n\nFROM one AS run\n"
        'COPY --from=build /x /y\nENV A="b c" D=e\nHEALTHCHECK --interval=1s CMD ["h", "i"]\nCMD ["c"]\n'
    )
    assert (build.name, build.base, words(build, "RUN")) == ("build", "one", ("a && b",))
    copied = run.last("COPY")
    assert copied is not None
    assert (copied.words, copied.flags, copied.line) == (("/x", "/y"), {"from": "build"}, 8)
    assert words(run, "ENV") == ("A=b c", "D=e")
    assert words(run, "HEALTHCHECK") == ("h", "i")


@pytest.mark.parametrize(
    "text",
    [
        "FROM one\n",
        "RUN a\n",
        "FROM one AS a\nCMD serve\n",
        "FROM one AS a\nHEALTHCHECK CMD curl x\n",
        "FROM one AS a\nONBUILD RUN x\n",
        "FROM one AS a\nRUN x \\\n",
    ],
)
def test_what_is_not_understood_is_refused(text: str) -> None:
    with pytest.raises(Unreadable):
        read_stages(text)


@pytest.mark.parametrize(
    ("path", "out"),
    [
        (".git", True),
        (".venv-mypyc/bin", True),
        ("var/lab", True),
        ("engine/sip/__pycache__", True),
        ("engine/sip/uri.py", False),
        ("tests/root/var", False),
    ],
)
def test_what_stays_out_of_a_build(path: str, out: bool) -> None:
    assert ignored(path, PATTERNS) is out

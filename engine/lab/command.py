"""`mask700 lab`: which flows, how they are scaled, and how the lab ends."""

from __future__ import annotations

import asyncio
import fcntl
import json
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import engine
from engine.lab.engine_process import EngineFailed
from engine.lab.flow import BadFlow, Flow, flow_folders, load_flow
from engine.lab.lab import Lab
from engine.lab.place import LabUnusable, Place
from engine.lab.processes import Processes
from engine.lab.progress import Progress
from engine.lab.report import as_json, print_flows, print_next_steps, print_outcomes
from engine.lab.scenario import BadScenario
from engine.lab.sides import Outcome
from engine.lab.sipp import SippMissing
from engine.settings import SettingsError, load_settings

SCENARIOS = Path("sipp_scenarios")

DONE, FAILED, BAD_USAGE, INTERRUPTED = 0, 1, 2, 130
_NO_FLOWS = (
    f"there are no flows here: they are the folders of {SCENARIOS}/, which the repository and the source distribution "
    "have, the wheel has not. Run it there, or name a folder of your own"
)
_REFUSALS = (EngineFailed, LabUnusable, BadScenario, SippMissing, OSError)


def run_lab(
    names: Sequence[str],
    *,
    config: Path,
    overrides: Sequence[str] = (),
    list_only: bool = False,
    rate: float | None = None,
    calls: int | None = None,
    hold_s: float | None = None,
    json_output: bool = False,
) -> int:
    """Run flows by name (none: all of them) and print what came of it; the exit status.

    0: all passed, 1: one did not or the lab could not run, 2: bad usage. `rate`, `calls` and `hold_s` scale
    the flows that are named; when none is, those that are made for load. A name may also be a folder's path.
    """
    try:
        flows = _chosen(names)
    except BadFlow as error:
        print(error, file=sys.stderr)
        return BAD_USAGE
    if any(value is not None and value <= 0 for value in (rate, calls)) or (
        hold_s is not None and hold_s < 0
    ):
        print("--rate and --calls are greater than 0, --hold is not less", file=sys.stderr)
        return BAD_USAGE
    if list_only:
        _print_list(flows, json_output)
        return DONE
    try:
        settings = load_settings(config, list(overrides))
    except SettingsError as error:
        print(error, file=sys.stderr)
        return BAD_USAGE
    flows = [flow.scaled(rate, calls, hold_s) if names or flow.file.load else flow for flow in flows]
    folder = settings.data_dir / "lab"
    with Progress(len(flows), quiet=json_output) as progress:
        processes = Processes()
        try:
            with _alone(folder):
                place = Place.of(settings)
                place.check_free()
                lab = Lab(
                    config,
                    overrides,
                    settings,
                    place,
                    folder.absolute(),
                    (_scenarios(),),
                    progress.watch,
                    progress.done,
                    processes,
                )
                outcomes = asyncio.run(_until_told_to_stop(lab, flows))
        except _REFUSALS as error:
            print(error, file=sys.stderr)
            return FAILED
        except (KeyboardInterrupt, asyncio.CancelledError):
            return INTERRUPTED
        finally:
            processes.end_all_now()
    if json_output:
        print(json.dumps(as_json(outcomes), ensure_ascii=False))
    else:
        print_outcomes(outcomes)
        print_next_steps(outcomes, config)
    return DONE if all(outcome.passed for outcome in outcomes) else FAILED


async def _until_told_to_stop(lab: Lab, flows: Sequence[Flow]) -> list[Outcome]:
    """Ctrl-C cancels by itself; being terminated or losing the terminal must end the processes too."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, task.cancel)
    return await lab.run(flows)


def _chosen(names: Sequence[str]) -> list[Flow]:
    """The flows in the order in which they run. Raises BadFlow."""
    if names:
        return [load_flow(_folder(name)) for name in dict.fromkeys(names)]
    flows = [load_flow(folder) for folder in flow_folders(_scenarios())]
    if not flows:
        raise BadFlow(_NO_FLOWS)
    return sorted(flows, key=lambda flow: (flow.file.order, flow.name))


def _folder(name: str) -> Path:
    """A name is a folder of the scenarios, or a path."""
    for folder in (_scenarios() / name, Path(name)):
        if folder.is_dir():
            return folder
    known = ", ".join(folder.name for folder in flow_folders(_scenarios()))
    raise BadFlow(f"there is no flow {name}; there are {known}" if known else _NO_FLOWS)


def _scenarios() -> Path:
    """Where one stands, else beside the package."""
    if SCENARIOS.is_dir():
        return SCENARIOS
    return Path(engine.__file__).resolve().parent.parent / SCENARIOS


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Two labs in one folder would take each other's processes' files."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LabUnusable(f"another lab is running in {folder}") from None
        yield


def _print_list(flows: Sequence[Flow], json_output: bool) -> None:
    if not json_output:
        print_flows(flows)
        return
    for flow in flows:
        fields = {"flow": flow.name, "calls": flow.calls, "proves": flow.file.proves}
        print(json.dumps(fields, ensure_ascii=False))

"""`mask700`: the commands. Each imports what it needs when it runs, so that `--help` comes at once.

Exit status: 0 done, 1 refused or failed, 2 bad usage.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.cli import bindings, health, keys, outlets, proof, records, running, top, tracing
from engine.cli.engine_client import settings_or_exit
from engine.cli.options import DEFAULT_CONFIG, Config, Json, Overrides
from engine.cli.output import DONE, FAILED, complain, print_json

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="mask700: number protection on 700 numbers. Both sides of a call see 700 numbers only.",
)


@app.command()
def serve(config: Config = DEFAULT_CONFIG, overrides: Overrides = None) -> None:
    """Run the engine.

    SIGTERM drains, then stops; a second one stops at once. SIGHUP reloads the table, the trunks, the limits and the
    log level; what else has changed is named in the log and needs a restart.
    """
    settings = settings_or_exit(config, overrides)
    from engine.app.control import serve as run_engine

    raise typer.Exit(run_engine(config, overrides or [], settings))


@app.command()
def check(json: Json = False, config: Config = DEFAULT_CONFIG, overrides: Overrides = None) -> None:
    """Name every mistake in configuration and table."""
    import time

    from engine.numbering.numbers import MASKED_PREFIX
    from engine.routing.number_plan import NumberPlan
    from engine.settings import examine_settings
    from engine.stores.table_file import read_table

    settings, problems = examine_settings(config, overrides or [])
    found = [
        {"source": one.source, "line": one.line, "column": one.column or "", "key": one.key, "what": one.what}
        for one in problems
    ]
    texts = [str(one) for one in problems]
    rows = 0
    table = settings.bindings.table
    if table:
        plan = settings.number_plan()
        if any(one.key.startswith(("numbering", "trunks")) for one in problems):
            plan = NumberPlan([MASKED_PREFIX], [])  # else every row would be named for one wrong prefix
        read = read_table(Path(table), time.time(), plan.fault)
        rows = len(read.rows)
        for one in read.problems:
            found.append(
                {"source": table, "line": one.line, "column": one.column, "key": "", "what": one.reason}
            )
            texts.append(bindings.row_problem(table, one.line, one.column, one.reason))
    if json:
        print_json({"ok": not found, "problems": found, "bindings": rows if not found else None})
    elif found:
        for text in texts:
            complain(text)
        complain(f"{len(texts)} problem{'' if len(texts) == 1 else 's'}")
    else:
        print(f"{config}: good; {table or 'no table'}: {rows} bindings")
    raise typer.Exit(FAILED if found else DONE)


@app.command()
def lab(
    flows: Annotated[list[str] | None, typer.Argument(metavar="[FLOW]...", help="None: all of them.")] = None,
    list_only: Annotated[bool, typer.Option("--list", help="Name the flows and what they prove.")] = False,
    rate: Annotated[float | None, typer.Option("--rate", help="Calls per second of load flows.")] = None,
    calls: Annotated[int | None, typer.Option("--calls", help="How many calls.")] = None,
    hold: Annotated[float | None, typer.Option("--hold", help="Seconds that each call lasts.")] = None,
    json: Json = False,
    config: Config = DEFAULT_CONFIG,
    overrides: Overrides = None,
) -> None:
    """Run calls between SIPp and an engine of its own.

    SIPp plays the telephone network on both sides; the callee's side asserts what it sees.
    """
    from engine.lab.command import run_lab

    status = run_lab(
        flows or [],
        config=config,
        overrides=overrides or [],
        list_only=list_only,
        rate=rate,
        calls=calls,
        hold_s=hold,
        json_output=json,
    )
    raise typer.Exit(status)


app.add_typer(bindings.app, name="bindings")
app.add_typer(running.calls, name="calls")
app.add_typer(running.trunks, name="trunks")
records.app.command("verify")(proof.verify_records)
app.add_typer(records.app, name="cdr")
app.add_typer(outlets.app, name="outlets")
app.add_typer(keys.app, name="keys")
app.add_typer(tracing.app, name="trace")
app.command("health")(health.health)
app.command("stats")(running.stats)
app.command("top")(top.top)
app.command("drain")(running.drain)
app.command("log-level")(running.log_level)
app.command("version")(running.version)


def main() -> None:
    """The `mask700` program."""
    app(prog_name="mask700")


if __name__ == "__main__":
    main()

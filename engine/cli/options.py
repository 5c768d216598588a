"""The options that every command takes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_CONFIG = Path("config/lab.toml")

Config = Annotated[
    Path,
    typer.Option("--config", metavar="FILE", envvar="MASK700_CONFIG", help="The configuration file."),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Put a TOML value over the file's: sip.t1_ms=100. May be repeated."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON value, or one a line for a list.")]
Clear = Annotated[bool, typer.Option("--clear", help="Show real numbers in clear.")]

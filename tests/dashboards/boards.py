"""The Grafana dashboards, read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
GRAFANA = ROOT / "config" / "grafana"
FILES = sorted((GRAFANA / "dashboards").glob("*.json"))


@dataclass(slots=True, frozen=True)
class Query:
    """`expr` with Grafana's variables in it; `instant`: asked for one moment only."""

    board: str
    panel: str
    ref: str
    expr: str
    legend: str
    instant: bool

    def __str__(self) -> str:
        return f"{self.board}: {self.panel} {self.ref}"


def read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text("utf-8")))


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    """All but the rows' titles."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def queries() -> list[Query]:
    """Of all dashboards: of their panels, and of what is marked in all of these."""
    marks = [
        Query(path.stem, f"mark {mark['name']}", "A", mark["expr"], mark["textFormat"], False)
        for path in FILES
        for mark in read(path)["annotations"]["list"]
        if "expr" in mark
    ]
    return marks + [
        Query(
            path.stem,
            panel["title"],
            target["refId"],
            target["expr"],
            target["legendFormat"],
            target["instant"],
        )
        for path in FILES
        for panel in panels(read(path))
        for target in panel["targets"]
    ]


def variables() -> list[tuple[str, str]]:
    """Dashboard and definition of each variable."""
    return [
        (path.stem, variable["definition"]) for path in FILES for variable in read(path)["templating"]["list"]
    ]

"""The screen of `mask700 top`: the values of `top_figures.summary`, drawn for a terminal."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

_MOST_REASONS = 10
_GOOD, _BAD, _DIM = "green", "bold red", "dim"
_LATE_S = 0.1  # a loop lag worth red


def draw(values: dict[str, Any], hint: str = "") -> RenderableType:
    """`hint`: a last line, which keys there are."""
    parts: list[RenderableType] = [_head(values), Text(""), _overview(values), Text("")]
    columns = Table.grid(padding=(0, 4))
    columns.add_row(
        _reasons("refused by the engine", values["refusals"]),
        _reasons("came to", values["outcomes"]),
    )
    parts += [_trunks(values["trunks"]), columns]
    if hint:
        parts.append(Text(hint, style=_DIM))
    return Group(*parts)


def _head(values: dict[str, Any]) -> Text:
    text = Text(f"mask700 {values['version'] or ''}  {values['node'] or ''}  ", style="bold")
    if values["ready"]:
        text.append("ready", style=_GOOD)
    else:
        text.append(f"not ready: {values['why_not_ready'] or 'unknown'}", style=_BAD)
    text.append(
        f"   up {_span(values['uptime_s'])}   figures of the last {values['interval_s']:.1f} s", style=_DIM
    )
    return text


def _overview(values: dict[str, Any]) -> Table:
    sip, records, lag = values["sip"], values["records"], values["loop_lag_s"]
    grid = Table.grid(padding=(0, 3))
    for _ in range(4):
        grid.add_column(style=_DIM)
        grid.add_column(justify="right")
    late = lag["p99"] is not None and lag["p99"] > _LATE_S
    error = records["error"]
    grid.add_row(
        *("calls active", _number(values["calls_active"])),
        *("ASR", _share(values["asr"])),
        *("PDD p50", _time(values["pdd_s"]["p50"])),
        *("loop lag p99", Text(_time(lag["p99"]), style=_BAD if late else "")),
    )
    grid.add_row(
        *("calls/s begun", _rate(values["calls_begun_per_s"])),
        *("SIP in+out/s", _rate(sip["requests_per_s"] + sip["responses_per_s"])),
        *("PDD p95", _time(values["pdd_s"]["p95"])),
        *("repeats/s in", _rate(sip["retransmissions_in_per_s"])),
    )
    grid.add_row(
        *("attempts/s ended", _rate(values["attempts_ended_per_s"])),
        *("transactions", _number(sip["transactions_active"])),
        *("PDD p99", _time(values["pdd_s"]["p99"])),
        *("repeats/s out", _rate(sip["retransmissions_out_per_s"])),
    )
    grid.add_row(
        *("bindings", _number(values["bindings"])),
        *("malformed/s", _rate(sip["malformed_per_s"])),
        *("setup p50", _time(values["setup_s"]["p50"])),
        *("records unsynced", _number(records["unsynced"])),
    )
    grid.add_row(
        *("TCP connections", _number(sip["tcp_connections"])),
        *("overload/s", _rate(sip["overload_rejections_per_s"])),
        *("own faults", _number(values["internal_errors"])),
        *("records/s", Text("failing", style=_BAD) if error else Text(_rate(records["written_per_s"]))),
    )
    return grid


def _trunks(trunks: list[dict[str, Any]]) -> Table:
    table = Table(
        *("trunk", "", "calls in", "calls out", "INVITE/s in", "INVITE/s out", "next hops"),
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for column in table.columns[2:6]:
        column.justify = "right"
    for trunk in trunks:
        hops = Text()
        for address, up in trunk["next_hops"].items():
            hops.append(f"{address} ", style="" if up else _BAD)
        table.add_row(
            Text(trunk["name"]),
            Text("up", style=_GOOD) if trunk["up"] else Text("down", style=_BAD),
            _number(trunk["calls_in"]),
            _number(trunk["calls_out"]),
            _rate(trunk["invites_in_per_s"]),
            _rate(trunk["invites_out_per_s"]),
            hops,
        )
    return table


def _reasons(title: str, rows: dict[str, dict[str, float]]) -> Table:
    table = Table(title, "per s", "since start", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for reason, row in list(rows.items())[:_MOST_REASONS]:
        style = "" if row["per_s"] else _DIM
        table.add_row(Text(reason), _rate(row["per_s"]), _number(row["total"]), style=style)
    if not rows:
        table.add_row(Text("nothing yet", style=_DIM), "", "")
    return table


def _number(value: float) -> str:
    return f"{value:,.0f}"


def _rate(value: float) -> str:
    return f"{value:,.1f}" if value else "-"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def _span(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    hours, rest = divmod(int(seconds), 3600)
    days, hours = divmod(hours, 24)
    clock = f"{hours:02d}:{rest // 60:02d}:{rest % 60:02d}"
    return f"{days} d {clock}" if days else clock

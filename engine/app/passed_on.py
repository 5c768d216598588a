"""What operators ask and the signalling process answers: looked at here, so that nothing odd crosses the link."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from engine.app.link import Refused

Ask = Callable[..., Awaitable[Any]]  # `SignallingChild.ask`


async def passed_on(ask: Ask, op: str, arguments: dict[str, Any]) -> object:
    """The answer. Raises Refused or LinkLost."""
    if op == "calls.list":
        limit = arguments.get("limit", 100)
        if not isinstance(limit, int) or not 1 <= limit <= 1000:
            raise Refused("limit must be 1 to 1000")
        after = arguments.get("after")
        if after is not None and not isinstance(after, int):
            raise Refused("after must be the last next")
        return await ask("calls.list", limit=limit, after=after)
    if op.startswith("trace."):
        wanted = {name: arguments.get(name) for name in ("number", "seconds", "call", "clear")}
        return await ask(op, **wanted)
    if op in ("calls.show", "calls.end"):
        return await ask(op, call=text_of(arguments, "call"))
    if op == "trunks.list":
        return await ask("trunks.list")
    if op in ("trunks.enable", "trunks.disable"):
        return await ask("trunks.set", name=text_of(arguments, "name"), enabled=op == "trunks.enable")
    if op == "keys.take":
        return {"sealing_key": await ask("keys.take")}
    raise Refused(f'unknown op "{op}"')


def text_of(arguments: dict[str, Any], name: str) -> str:
    """An argument that must be there. Raises Refused."""
    value = arguments.get(name)
    if not isinstance(value, str) or not value:
        raise Refused(f'"{name}" is missing')
    return value

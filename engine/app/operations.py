"""What operators ask the signalling process about calls and trunks: seeing them, ending and disabling them."""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from engine.app.link import Refused
from engine.calls.call import Call
from engine.calls.call_state import State
from engine.calls.leg import Leg
from engine.calls.record import CallRecord, EntryKind
from engine.calls.rfc3339 import format_time
from engine.calls.switchboard import Switchboard
from engine.observe.logs import get_logger
from engine.observe.masking import masked, masked_value
from engine.routing.next_hop import NextHop
from engine.routing.trunks import Trunk

_log = get_logger("signalling")

_TIMES = ("setup_time", "ringing_time", "answer_time", "release_time")


class Operations:
    """Answers over the link (`engine.app.link` lists them). No real number leaves here in clear."""

    def __init__(
        self,
        switchboard: Switchboard,
        seal: Callable[[EntryKind, CallRecord], bytes],
        now: Callable[[], float],
        settle: Callable[[], None],
    ) -> None:
        """`seal` makes a record readable for who holds the keys; `settle` sends what has been said meanwhile."""
        self._switchboard = switchboard
        self._board = switchboard.board
        self._seal = seal
        self._now = now
        self._settle = settle

    # --- calls ---

    def list_calls(self, limit: int, after: int) -> dict[str, object]:
        """A page of the calls that are up."""
        calls = self._board.calls_after(after, limit + 1)  # one more tells whether there is another page
        more = len(calls) > limit
        return {
            "calls": [_call_row(call) for call in calls[:limit]],
            "next": calls[limit - 1].number if more else None,
        }

    def show_call(self, name: str) -> dict[str, object]:
        """Everything about one call, by its record id or by the Call-ID of one of its legs."""
        call = self._find(name)
        return {
            "state": _state(call),
            **_record_values(call.record),
            "legs": {
                "caller": _leg_values(call.caller, call.record.a_call_id),
                "callee": _leg_values(call.callee, call.record.b_call_id),
            },
            "sealed": b2a_base64(self._seal(EntryKind.START, call.record), newline=False).decode(),
        }

    def end_call(self, name: str) -> dict[str, object]:
        """Hangs up on both sides; a call that rings is given up."""
        record_id = self._find(name).record.record_id
        self._switchboard.end_call(record_id, self._now())
        self._settle()
        _log.warning("a call was ended by an operator", record_id=record_id)
        return {"record_id": record_id, "ended": True}

    # --- trunks ---

    def list_trunks(self) -> list[dict[str, object]]:
        now = self._now()
        return [_trunk_row(trunk, now) for trunk in self._switchboard.trunks.trunks]

    def set_trunk(self, name: str, enabled: bool) -> dict[str, object]:
        """Enables or disables a trunk until told otherwise. Its calls go on: a disabled trunk drains."""
        trunk = self._switchboard.trunks.named(name)
        if trunk is None:
            raise Refused(f'there is no trunk "{name}"')
        trunk.order(enabled)
        _log.warning("a trunk was enabled" if enabled else "a trunk was disabled", trunk=name)
        return _trunk_row(trunk, self._now())

    def hop_changed(self, trunk: Trunk, hop: NextHop) -> None:
        """A next hop went down or came up."""
        values = {"trunk": trunk.name, "next_hop": str(hop), "left": len(trunk.reachable)}
        if hop.health.up:
            _log.warning("a next hop is up again", **values)
        else:
            _log.error(
                "a next hop is down: calls pass it over until it answers",
                **values,
                answer=hop.health.said,
                hint=f"if it takes calls but no OPTIONS, set trunks.{trunk.name}.probe_interval_s = 0",
            )

    # --- within ---

    def _find(self, name: str) -> Call:
        call = self._board.calls.get(name)
        if call is not None:
            return call
        for call in self._board.calls.values():
            if name in (call.record.a_call_id, call.record.b_call_id):
                return call
        raise Refused("no such call is up")


def _call_row(call: Call) -> dict[str, object]:
    record = call.record
    return {
        "record_id": record.record_id,
        "state": _state(call),
        "since": _moment(record.setup_time),
        "answered": _moment(record.answer_time),
        "tenant": record.tenant,
        "model": record.model,
        "direction": record.direction,
        "caller": masked(record.caller or ""),
        "dialled": masked(record.dialled or ""),
        "shown": record.shown,
        "callee": masked(record.callee or ""),
        "in_trunk": record.in_trunk,
        "out_trunk": record.out_trunk,
    }


def _record_values(record: CallRecord) -> dict[str, object]:
    """Its fields as the record will have them, numbers masked: also those that somebody may have written into a
    Call-ID or an order id."""
    values: dict[str, object] = {
        key: masked(value) if isinstance(value, str) else value for key, value in asdict(record).items()
    }
    for key in _TIMES:
        values[key] = _moment(getattr(record, key))
    return values


def _leg_values(leg: Leg | None, call_id: str | None) -> dict[str, object] | None:
    if leg is None:
        return None
    values: dict[str, object] = {
        "call_id": call_id,
        "far_end": str(leg.flow),
        "local_tag": leg.tag,
        "acknowledged": leg.acceptance is None,
    }
    dialog = leg.dialog
    if dialog is not None:
        values |= {
            "remote_tag": dialog.remote_tag,
            "remote_target": dialog.remote_target,
            "sent_to": str(dialog.target_flow),
            "routes": dialog.routes,
            "local_cseq": dialog.local_cseq,
            "remote_cseq": dialog.remote_cseq,
        }
    hidden: Any = masked_value(values)
    return dict(hidden)


def _trunk_row(trunk: Trunk, now: float) -> dict[str, object]:
    """`state`: up, down (all next hops are), draining or disabled. `by`: whose word that is when it is not up."""
    if not trunk.enabled:
        state = "draining" if trunk.draining else "disabled"
    else:
        state = "up" if trunk.up else "down"
    return {
        "name": trunk.name,
        "state": state,
        "enabled": trunk.enabled,
        "enabled_by": "configuration" if trunk.ordered is None else "operator",
        "calls_in": trunk.incoming.calls,
        "calls_out": trunk.outgoing.calls,
        "max_calls": trunk.settings.max_calls,
        "max_calls_per_s": trunk.settings.max_calls_per_s,
        "peers": [str(peer) for peer in trunk.peers],
        "next_hops": [_hop_row(trunk, hop, now) for hop in trunk.next_hops],
        "prefixes": list(trunk.prefixes),
        "trust_identity": trunk.trust_identity,
        "number_format": trunk.number_format,
        "symmetric": trunk.symmetric,
    }


def _hop_row(trunk: Trunk, hop: NextHop, now: float) -> dict[str, object]:
    """`probe`: what the last probe got; `heard_s`: how long ago a call got through; null for never."""
    health = hop.health
    return {
        "next_hop": str(hop),
        "state": "up" if health.up else "down",
        "since_s": round(now - health.since) if health.since else None,
        "probe": health.said or None,
        "probed": trunk.settings.probe_interval_s > 0,
        "heard_s": round(now - health.heard_at) if health.heard_at else None,
    }


def _state(call: Call) -> str:
    return State(call.state).name.lower()


def _moment(milliseconds: int | None) -> str | None:
    return None if milliseconds is None else format_time(milliseconds)

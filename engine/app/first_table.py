"""Whether the table in force can answer calls, asked before the first call may ask."""

from __future__ import annotations

import os
from pathlib import Path

from engine.calls.ports import BindingsUnavailable
from engine.numbering.numbers import RealNumber
from engine.routing.number_plan import NumberPlan
from engine.sealing.cipher import Sealer
from engine.sealing.keys import KeyRing
from engine.sealing.tokens import LookupTokens
from engine.stores.table_lmdb import BindingTable


def fault_of_current_table(data_dir: Path, keys_dir: Path, plan: NumberPlan) -> str | None:
    """None when the table in force can be read with the keys that are there and holds numbers of ours only, ""
    when there is no table, else what is wrong. Raise KeysUnusable."""
    ring = KeyRing.open(keys_dir, os.environ, create=False)
    try:
        table = BindingTable.open(data_dir, Sealer(ring), LookupTokens(ring.lookup))
        try:
            if not table.stats().generation:
                return ""
            return _key_fault(table) or _number_fault(table, plan)
        finally:
            table.close()
    except BindingsUnavailable as error:
        return str(error)


def _key_fault(table: BindingTable) -> str | None:
    for binding in table.rows():  # one is enough: all were written with the same keys
        number, caller = binding.dialling_pairs()[0]
        found = table.look_up(number, caller or _ANYBODY)
        if found.binding is None and not binding.expired(table.stats().built):
            return "it was built with another look-up key"
        return None
    return None


def _number_fault(table: BindingTable, plan: NumberPlan) -> str | None:
    """The prefixes may have changed since it was built."""
    for number in table.numbers():
        fault = plan.fault(number)
        if fault:
            return f"its number {number.digits} {fault}"
    return None


_ANYBODY = RealNumber("8613800000000")

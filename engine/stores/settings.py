"""`[bindings]`: the table, where bindings are kept, and how long a caller can be called back."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class BindingSettings:
    table: str = ""  # "": no table, bindings come from elsewhere
    store: str = "lmdb"
    callback_window_s: int = 86_400

    def check(self) -> list[tuple[str, str]]:
        """What is wrong, as (key, what)."""
        problems: list[tuple[str, str]] = []
        if "\0" in self.table:
            problems.append(("table", "is no path"))
        if self.store == "redis":
            problems.append(("store", "redis is not built yet; use lmdb"))
        elif self.store != "lmdb":
            problems.append(("store", f"must be lmdb, not '{self.store}'"))
        if not 1 <= self.callback_window_s <= 31 * 86_400:
            problems.append(("callback_window_s", f"must be 1 to 2678400, not {self.callback_window_s}"))
        return problems

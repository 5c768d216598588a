"""`[calls]`: how long a call may ring, stay silent and last."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class CallSettings:
    ring_timeout_s: int = 180
    first_response_s: int = 4
    max_duration_s: int = 14_400

    def check(self) -> list[tuple[str, str]]:
        """What is wrong, as (key, what)."""
        problems: list[tuple[str, str]] = []
        for key, value, low, high in (
            ("ring_timeout_s", self.ring_timeout_s, 1, 3600),
            ("first_response_s", self.first_response_s, 1, 32),
            ("max_duration_s", self.max_duration_s, 1, 7 * 86_400),
        ):
            if not low <= value <= high:
                problems.append((key, f"must be {low} to {high}, not {value}"))
        return problems

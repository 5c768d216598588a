"""`[calls]`: how long a call may ring, stay silent and last, and how it is known to be alive."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class CallSettings:
    ring_timeout_s: int = 180
    first_response_s: int = 4
    max_duration_s: int = 14_400
    session_expires_s: int = 1800
    """How often a session is refreshed on each leg, 0: only where the far end asks for it (RFC 4028)."""
    min_session_expires_s: int = 90
    farewells_per_s: int = 500
    """How many BYEs a restarted engine sends to the legs of the calls that were interrupted."""

    def check(self) -> list[tuple[str, str]]:
        """What is wrong, as (key, what)."""
        problems: list[tuple[str, str]] = []
        for key, value, low, high in (
            ("ring_timeout_s", self.ring_timeout_s, 1, 3600),
            ("first_response_s", self.first_response_s, 1, 32),
            ("max_duration_s", self.max_duration_s, 1, 7 * 86_400),
            ("min_session_expires_s", self.min_session_expires_s, 1, 86_400),
            ("farewells_per_s", self.farewells_per_s, 1, 100_000),
        ):
            if not low <= value <= high:
                problems.append((key, f"must be {low} to {high}, not {value}"))
        if self.session_expires_s and not self.min_session_expires_s <= self.session_expires_s <= 7 * 86_400:
            least = self.min_session_expires_s
            problems.append(("session_expires_s", f"must be 0, or {least} (min_session_expires_s) to 604800, "
                             f"not {self.session_expires_s}"))  # fmt: skip
        return problems

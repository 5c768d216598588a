"""The `[authorization]` table."""

from dataclasses import dataclass

STRANGERS = ("404", "403")


@dataclass(slots=True)
class AuthorizationSettings:
    """`strangers`: the status for a caller who is no party of the binding; "404" hides that the number is
    bound. `legacy_middle_numbers`: whether mobile, fixed or 95 numbers may be middle numbers; only "reject"
    is built. `retry_after_s`: seconds in the Retry-After of refusals that pass."""

    strangers: str = "404"
    legacy_middle_numbers: str = "reject"
    retry_after_s: int = 5

    def check(self) -> list[tuple[str, str]]:
        """Every problem, as (key below `authorization`, what is wrong)."""
        problems: list[tuple[str, str]] = []
        if self.strangers not in STRANGERS:
            problems.append(("strangers", f'"{self.strangers}" must be "404" or "403"'))
        if self.legacy_middle_numbers == "allow":
            problems.append(("legacy_middle_numbers", '"allow" is not built yet'))
        elif self.legacy_middle_numbers != "reject":
            problems.append(("legacy_middle_numbers", f'"{self.legacy_middle_numbers}" must be "reject"'))
        if not 1 <= self.retry_after_s <= 3600:
            problems.append(("retry_after_s", "must be 1 to 3600"))
        return problems

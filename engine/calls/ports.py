"""What calls ask of the world."""


class BindingsUnavailable(Exception):  # noqa: N818 — the words of the field
    """The store of bindings cannot answer; the call is refused as `store_unavailable` (fail closed)."""

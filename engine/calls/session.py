"""The session descriptions of one dialog, as its far end sees them."""

from __future__ import annotations


class SessionOrigin:
    """Writes v=, o= and s=. The version of o= rises by one exactly when what is sent differs from what was
    sent before in this dialog (RFC 3264 section 8); nothing in it tells of the other leg."""

    __slots__ = ("_address", "_id", "_last", "_version")

    def __init__(self, session_id: int, host: str) -> None:
        bare = host.strip("[]")
        self._id = session_id
        self._address = f"IP6 {bare}" if ":" in bare else f"IP4 {bare}"
        self._version = 0
        self._last = ""

    def write(self, session: str) -> str:
        """The body for a masked session; "" stays ""."""
        if not session:
            return ""
        if session != self._last:
            self._version += 1
            self._last = session
        return f"v=0\r\no=- {self._id} {self._version} IN {self._address}\r\ns=-\r\n{session}"

    def again(self) -> str:
        """The last body once more, so that nothing changes by it; "" before the first."""
        return self.write(self._last)

    def copy(self) -> SessionOrigin:
        """For another early dialog of the same INVITE: the same so far, on its own from here."""
        other = SessionOrigin(self._id, "")
        other._address = self._address
        other._version = self._version
        other._last = self._last
        return other

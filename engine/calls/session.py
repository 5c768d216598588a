"""The session descriptions of one dialog, as its far end sees them, and what of a session cannot change unnoticed."""

from __future__ import annotations

from typing import Final

_DIRECTIONS: Final = frozenset(("a=sendrecv", "a=sendonly", "a=recvonly", "a=inactive"))


class SessionOrigin:
    """Writes v=, o= and s=. The version of o= rises by one exactly when what is sent differs from what was
    sent before in this dialog (RFC 3264 section 8); nothing in it tells of the other leg."""

    __slots__ = ("_address", "_before", "_id", "_last", "_version", "standing")

    def __init__(self, session_id: int, host: str) -> None:
        bare = host.strip("[]")
        self._id = session_id
        self._address = f"IP6 {bare}" if ":" in bare else f"IP4 {bare}"
        self._version = 0
        self._last = ""
        self.standing = ""  # what the far end was told and did not refuse
        self._before = ""

    def write(self, session: str) -> str:
        """The body for a masked session; "" stays ""."""
        if not session:
            return ""
        if session != self._last:
            self._version += 1
            self._last = session
        self._before, self.standing = self.standing, session
        return f"v=0\r\no=- {self._id} {self._version} IN {self._address}\r\ns=-\r\n{session}"

    def again(self) -> str:
        """The body that stands once more, so that nothing changes by it; "" before the first."""
        return self.write(self.standing)

    def take_back(self) -> None:
        """The last body was an offer that came to nothing: the one before stands (RFC 3261 14.1)."""
        self.standing = self._before

    def copy(self) -> SessionOrigin:
        """For another early dialog of the same INVITE: the same so far, on its own from here."""
        other = SessionOrigin(self._id, "")
        other._address = self._address
        other._version = self._version
        other._last = self._last
        other.standing, other._before = self.standing, self._before
        return other


def streams(session: str) -> list[tuple[str, str, str]]:
    """Where the media of a masked session goes and whether it does: for each stream its kind and port, its connection
    line and its direction. Codecs may be narrowed down in an answer without anybody being misled."""
    found: list[tuple[str, str, str]] = []
    connection, direction = "", "a=sendrecv"
    for line in session.split("\r\n"):
        if line[:2] == "m=":
            found.append((" ".join(line.split(" ")[:2]), connection, direction))
        elif line[:2] == "c=":
            if found:
                found[-1] = (found[-1][0], line, found[-1][2])
            else:
                connection = line
        elif line in _DIRECTIONS:
            if found:
                found[-1] = (found[-1][0], found[-1][1], line)
            else:
                direction = line
    return found

"""Where each key and value of a TOML text stands; `tomllib` keeps no positions.

The text has been read by `tomllib` before, so this scanner only has to follow a text that is right
(TOML 1.0.0): it never reports an error.
"""

from __future__ import annotations

import tomllib
from bisect import bisect_right

Path = tuple[str | int, ...]

_BARE_KEY = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")
_SPACE = frozenset(" \t\r\n")


def key_lines(text: str) -> dict[Path, int]:
    """The line (from 1) of every table, key, array element: `("trunks", 0, "peers", 1)` → 14."""
    scanner = _Scanner(text)
    scanner.document()
    return scanner.lines


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[Path, int] = {}
        self._line_starts = [0, *(index + 1 for index, sign in enumerate(text) if sign == "\n")]
        self._elements: dict[Path, int] = {}  # how many tables each array of tables has so far

    def document(self) -> None:
        table: Path = ()
        while self._skip_blank():
            start = self.at
            if self.text.startswith("[[", self.at):
                self.at += 2
                table = self._new_element(self._keys())
                self.at += 2
                self._note(table, start)
            elif self.text[self.at] == "[":
                self.at += 1
                table = self._resolved(self._keys())
                self.at += 1
                self._note(table, start)
            else:
                self._pair(table)

    def _pair(self, table: Path) -> None:
        start = self.at
        path = table
        for key in self._keys():
            path = (*path, key)
            self._note(path, start)
        self.at += 1  # the equals sign, which _keys stopped at
        self._value(path)

    def _value(self, path: Path) -> None:
        self._skip_blank()
        sign = self.text[self.at]
        if sign in "\"'":
            self._string()
        elif sign == "[":
            self.at += 1
            index = 0
            while self._skip_blank() and self.text[self.at] != "]":
                element = (*path, index)
                self._note(element, self.at)
                self._value(element)
                index += 1
                self._skip_comma()
            self.at += 1
        elif sign == "{":
            self.at += 1
            while self._skip_blank() and self.text[self.at] != "}":
                self._pair(path)
                self._skip_comma()
            self.at += 1
        else:
            while self.at < len(self.text) and self.text[self.at] not in ",]}#\n":
                self.at += 1

    def _keys(self) -> list[str]:
        """A dotted key; stops at what follows it."""
        keys: list[str] = []
        while True:
            self._skip_blank()
            start = self.at
            if self.text[start] in "\"'":
                self._string()
                keys.append(str(tomllib.loads("key = " + self.text[start : self.at])["key"]))
            else:
                while self.text[self.at] in _BARE_KEY:
                    self.at += 1
                keys.append(self.text[start : self.at])
            self._skip_blank()
            if self.text[self.at] != ".":
                return keys
            self.at += 1

    def _string(self) -> None:
        quote = self.text[self.at]
        long = self.text.startswith(quote * 3, self.at)
        end = quote * 3 if long else quote
        self.at += len(end)
        while not self.text.startswith(end, self.at):
            self.at += 2 if quote == '"' and self.text[self.at] == "\\" else 1
        self.at += len(end)
        if long:  # up to two quotes may stand before the closing three
            while self.text.startswith(quote, self.at):
                self.at += 1

    def _skip_blank(self) -> bool:
        """Past spaces, line ends and comments; False at the end of the text."""
        while self.at < len(self.text):
            sign = self.text[self.at]
            if sign == "#":
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
            elif sign in _SPACE:
                self.at += 1
            else:
                return True
        return False

    def _skip_comma(self) -> None:
        if self._skip_blank() and self.text[self.at] == ",":
            self.at += 1

    def _resolved(self, keys: list[str]) -> Path:
        """A header's path; a name of an array of tables means its last table."""
        path: Path = ()
        for key in keys:
            path = (*path, key)
            if path in self._elements:
                path = (*path, self._elements[path] - 1)
        return path

    def _new_element(self, keys: list[str]) -> Path:
        array = (*self._resolved(keys[:-1]), keys[-1])
        index = self._elements.get(array, 0)
        self._elements[array] = index + 1
        self._note(array, self.at)
        return (*array, index)

    def _note(self, path: Path, at: int) -> None:
        self.lines.setdefault(path, bisect_right(self._line_starts, at))

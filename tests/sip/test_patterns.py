"""Every compiled pattern of the engine: nothing in it that Python 3.11.2 matches wrongly, and no input that makes
it slow."""

from __future__ import annotations

import importlib
import pkgutil
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import engine
from engine.sip.framing import StreamFramer
from engine.sip.headers import NameAddr
from engine.sip.sdp import masked_session
from engine.sip.uri import MalformedUri, parse_uri
from tests.sip.samples import SDP

# The names of what `re` made of a pattern; the module is not public, but there is no other way to look inside.
_parser: Any = importlib.import_module("re._parser")
_SINGLE = frozenset({"LITERAL", "NOT_LITERAL", "ANY", "IN"})


def _named_patterns() -> dict[str, re.Pattern[Any]]:
    """Each pattern that a module of the engine holds, also in a table, by its dotted name."""
    found: dict[str, re.Pattern[Any]] = {}
    for module in pkgutil.walk_packages(engine.__path__, "engine."):
        for name, value in vars(importlib.import_module(module.name)).items():
            table = value if isinstance(value, dict) else {"": value}
            for key, one in table.items():
                if isinstance(one, re.Pattern):
                    found[f"{module.name}.{name}" + (f"[{key}]" if key != "" else "")] = one
    return found


PATTERNS = _named_patterns()


def _is_single(body: Any) -> bool:
    """Whether a repeat's body is one character or class, which `re` repeats without its general machinery."""
    if len(body) != 1:
        return False
    operation, argument = body[0]
    if str(operation) == "SUBPATTERN":
        return argument[0] is None and _is_single(argument[-1])
    return str(operation) in _SINGLE


def _possessive_groups(tree: Any) -> Iterator[str]:
    """Every atomic group or possessive repeat in a parsed pattern that is over more than one character item."""
    if isinstance(tree, _parser.SubPattern):
        for operation, argument in tree:
            if str(operation) in {"POSSESSIVE_REPEAT", "ATOMIC_GROUP"}:
                body = argument[-1] if isinstance(argument, tuple) else argument
                if not _is_single(body):
                    yield f"{operation} over {body.data}"
            yield from _possessive_groups(argument)
    elif isinstance(tree, tuple | list):
        for part in tree:
            yield from _possessive_groups(part)


@pytest.mark.parametrize(
    "pattern",
    [
        "(?:ab?c)++",
        "x(?:a|b[c]*)*+",
        "(;a)?+b",
        "(?>ab|a)",
        "(?=(?:ab){0,4}+)x",
        "(?:a(?:bc)++|d)",
        "((?:a+)++)",
    ],
)
def test_possessive_groups_are_found(pattern: str) -> None:
    assert list(_possessive_groups(_parser.parse(pattern)))


@pytest.mark.parametrize("pattern", ["[abc]++", "(?:a*+b)*", "a{1,3}+", ".?+", "(?:[ab])++c", "(?:a++|b)+"])
def test_possessive_classes_and_plain_groups_are_let_through(pattern: str) -> None:
    assert not list(_possessive_groups(_parser.parse(pattern)))


@pytest.mark.parametrize("name", PATTERNS)
def test_no_pattern_has_a_possessive_group(name: str) -> None:
    """Before CPython 3.11.5 `re` matches them wrongly when the group can backtrack (gh-106052), and before
    3.11.9 it stumbles over captures in them (gh-101955). The product runs on Debian 12's 3.11.2. A plain repeat
    that begins every round with a character of its own is as fast and right everywhere."""
    pattern = PATTERNS[name]
    assert list(_possessive_groups(_parser.parse(pattern.pattern, pattern.flags))) == []


def test_the_patterns_of_the_engine_are_seen() -> None:
    assert {
        "engine.sip.headers.PLAIN_NAME_ADDR",
        "engine.sip.headers._ELEMENT[,]",
        "engine.sip.sdp._ATTRIBUTES[fmtp]",
        "engine.calls.hiding._PLAIN_USER",
        "engine.routing.settings._NAME",
    } <= PATTERNS.keys()


# --- what possessive groups got wrong on 3.11.2 ---


@pytest.mark.parametrize(
    "text", ["sip:a%:a@h", "sip:;%@h.ex", "sip:h.example%41;x%@192.0.2.1", "sip:h;a%=b", "sip:h;[%=="]
)
def test_half_an_escape_is_no_uri(text: str) -> None:
    with pytest.raises(MalformedUri):
        parse_uri(text)


def test_the_space_behind_a_display_name_is_no_part_of_it() -> None:
    assert NameAddr.parse("two words <sip:a@b>") == NameAddr("two words", "sip:a@b")


def test_white_space_behind_the_formats_of_a_media_line_goes() -> None:
    session = masked_session(SDP.replace("RTP/AVP 8 101\r\n", "RTP/AVP 8 101 \r\n"))
    assert "\r\nm=audio 30000 RTP/AVP 8 101\r\n" in session


def test_a_folded_content_length_is_read() -> None:
    head = b"OPTIONS sip:a SIP/2.0\r\nContent-Length: \r\n \r\n\t 2\r\n\r\n"
    assert StreamFramer().feed(head + b"xy" + b"next") == [head + b"xy"]


# --- how long hostile input takes ---

SIZE = 65_536


def _filled(before: str, filler: str, behind: str = "") -> str:
    return before + filler * ((SIZE - len(before) - len(behind)) // len(filler)) + behind


_HOSTILE: list[tuple[str, str, list[str]]] = [
    (
        "engine.sip.headers.PLAIN_NAME_ADDR",
        "fullmatch",
        [
            _filled("", "a "),
            _filled("", "a"),
            _filled("", "a ", "<sip:"),
            _filled('"', "a "),
            _filled('"q" <sip:', "a"),
            _filled("<sip:a@b>;tag=", "a", ";"),
        ],
    ),
    (
        "engine.sip.everyday.EVERYDAY_HEAD",
        "fullmatch",
        [
            _filled("SIP/2.0 200 ", "a"),
            _filled("INVITE sip:", "a%41", "@"),
            _filled("SIP/2.0 200 OK\r\n", "X-Y: z\r\n"),
            _filled("SIP/2.0 200 OK\r\n", "To: <sip:a>\r\n", "x"),
            _filled("SIP/2.0 200 OK\r\n", "Via: SIP/2.0/UDP h;branch=b\r\n", "x"),
            _filled("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP ", "h;rport;branch=b"),
            _filled("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=b\r\n", "X-Y: z\r\n", "x"),
            _filled("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=b\r\n", "X-Y: z\r\nTo: <sip:a>\r\n", "x"),
            _filled("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=b\r\n", "V: z\r\nVia: y\r\n", "x"),
            _filled("SIP/2.0 200 OK\r\nFrom: ", "a "),
            _filled("SIP/2.0 200 OK\r\nFrom: ", "a ", "<sip:"),
            _filled("SIP/2.0 200 OK\r\nFrom: <sip:", "a", ">\r\n\r"),
            _filled("SIP/2.0 200 OK\r\nContact: <sip:a>", ";"),
        ],
    ),
    (
        "engine.sip.headers._PLAIN_VIA",
        "fullmatch",
        [
            _filled("SIP/2.0/UDP h;branch=b", ";rport", ";x"),
            _filled("SIP/2.0/UDP h;branch=b", ";rport=5", ";"),
            _filled("SIP/2.0/UDP h;branch=b", ";received=1.2", "="),
            _filled("SIP/2.0/UDP h", ";rport"),
            _filled("SIP/2.0/UDP h;branch=", "b", "@"),
            _filled("SIP/2.0/UDP ", "a.", " "),
        ],
    ),
    (
        "engine.sip.headers._PARAM",
        "fullmatch",
        [
            _filled('a="', "\\a"),
            _filled('a="', '\\"', '"x'),
            _filled('a="', "b"),
            _filled("", "a", "@"),
            _filled("a", " "),
        ],
    ),
    (
        "engine.sip.headers._NAME_ADDR",
        "match",
        [
            _filled('"', "\\a"),
            _filled('"', '\\"', '"x'),
            _filled('"', "a\\b"),
            _filled("", "a "),
            _filled('""', "\t"),
            _filled("<", "a"),
        ],
    ),
    *(
        (
            f"engine.sip.headers._ELEMENT[{separator}]",
            "findall",
            [
                _filled("", '"'),
                _filled('"', "\\"),
                _filled('"', '\\"'),
                _filled("", "<"),
                _filled("", "<>"),
                _filled("", '"\\"",'),
                _filled("", 'a"b<'),
                _filled("", "a<;,>"),
                _filled("", "a,b;c "),
            ],
        )
        for separator in (",", ";")
    ),
    (
        "engine.sip.uri.PLAIN_SIP_URI",
        "fullmatch",
        [
            _filled("sip:", "%41"),
            _filled("sip:", "a%41", "@"),
            _filled("sip:", "a%41", "@h:"),
            _filled("sip:", "a", "%4@h"),
            _filled("sip:", "a;b"),
            _filled("sip:h", ";a"),
            _filled("sip:h", ";a=b"),
            _filled("sip:h;a=", "a", "="),
            _filled("sip:", "@"),
        ],
    ),
    (
        "engine.sip.uri._EVERYDAY_URI",
        "fullmatch",
        [
            _filled("sip:", "a"),
            _filled("sip:", "a", "@"),
            _filled("sip:a@", "a.", ":123456"),
            _filled("sip:a@h;", "a=;", "@"),
        ],
    ),
    (
        "engine.sip.uri._USER",
        "fullmatch",
        [
            _filled("", "%41"),
            _filled("", "a%41", "%"),
            _filled("a:", "%41", "%"),
            _filled("", "a:"),
            _filled("", "a", '"'),
        ],
    ),
    (
        "engine.sip.uri._PARAM",
        "fullmatch",
        [
            _filled("", "%41"),
            _filled("", "a%41", "%"),
            _filled("a=", "%41", "%"),
            _filled("a", "="),
            _filled("a=", "=%41", '"'),
        ],
    ),
    (
        "engine.sip.uri._HEADERS",
        "fullmatch",
        [_filled("", "%41"), _filled("", "a%41", "%"), _filled("", "a=&", "%")],
    ),
    (
        "engine.sip.sdp._MEDIA",
        "fullmatch",
        [
            _filled("m=audio 4 RTP/AVP", " a", "/"),
            _filled("m=audio 4 RTP/AVP", " 123", "4"),
            _filled("m=audio 4 RTP/AVP ", "a"),
            _filled("m=audio 4 RTP/AVP", " *", " "),
            _filled("m=audio 4 R", "/a", " "),
        ],
    ),
    (
        "engine.sip.sdp._ATTRIBUTES[fmtp]",
        "fullmatch",
        [
            _filled("96 ", "a", "@"),
            _filled("96 ", "1.2 ", "@"),
            _filled("96 ", "123456789 "),
            _filled("96 ", "12345678 ", "@"),
            _filled("96 ", "1"),
            _filled("96 ", "1.1.", "@"),
        ],
    ),
    (
        "engine.sip.sdp._EVERYDAY_SESSION",
        "fullmatch",
        [
            _filled("v=0\r\no=", "a"),
            _filled("v=0\r\no=-\r\ns=", "a", "\r\n"),
            _filled(SDP, "a=ptime:20\r\n"),
            _filled(SDP, "a=rtpmap:"),
            _filled(SDP[: SDP.index("8 101")], "8 "),
        ],
    ),
    (
        "engine.sip.framing._CONTENT_LENGTH",
        "findall",
        [
            _filled("\nl:", "\r\n "),
            _filled("\nl:", " \n\t", "\r"),
            _filled("", "\nl:"),
            _filled("", "\nl "),
            _filled("\nl", " "),
            _filled("", "\nContent-Length:\r\n "),
        ],
    ),
    (
        "engine.sip.framing._LINE_ENDS",
        "match",
        [_filled("", "\r\n"), _filled("", "\n", "\r"), _filled("", "\r")],
    ),
    (
        "engine.sip.multipart._PARAMETER",
        "findall",
        [
            _filled(';a="', "\\a"),
            _filled(';a="', '\\"'),
            _filled("", ';a="\\"'),
            _filled("", ";a="),
            _filled("", ';a="b\\'),
            _filled(";", " "),
            _filled("", "; a"),
            _filled("", ';a="\\\n'),
        ],
    ),
    (
        "engine.calls.hiding._Q850",
        "match",
        [
            _filled("Q.850;", 'a="\\"'),
            _filled("Q.850", ";a=b"),
            _filled("Q.850", ';a="\\a"', ';"'),
            _filled("Q.850;", " "),
            _filled("Q.850;cause=", "1"),
        ],
    ),
]


@pytest.mark.parametrize(
    ("name", "method", "text"),
    [(name, method, text) for name, method, texts in _HOSTILE for text in texts],
    ids=[f"{name[7:]}-{index}" for name, _, texts in _HOSTILE for index in range(len(texts))],
)
def test_no_input_makes_a_pattern_slow(name: str, method: str, text: str) -> None:
    pattern = PATTERNS[name]
    match: Callable[[str | bytes], object] = getattr(pattern, method)
    subject = text.encode() if isinstance(pattern.pattern, bytes) else text
    best = 1.0
    for _ in range(3):
        begin = time.thread_time()
        match(subject)
        best = min(best, time.thread_time() - begin)
    assert best < 0.02  # a tenth of it is usual; what grows faster than the input takes seconds

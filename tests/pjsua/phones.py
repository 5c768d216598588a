"""Phones (tests/pjsua/phone.py), each a process of its own, and what they have seen."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.pjsua.wire import WireMessage, messages_of

ROOT = Path(__file__).resolve().parent.parent.parent

PATIENCE_S = 10.0
_AGAIN_S = 0.02
_LAST_WORDS = 500
_LONGEST_LINE = 1 << 20


@dataclass(slots=True, frozen=True)
class PhoneSettings:
    """`number`: its real number. `host`, `port`: where it listens for SIP; RTP goes over `media_ports` ports of the
    same host from `media_port` on. `public_host`: what it calls itself in Via and Contact. `rel100`: no, optional or
    mandatory. `timer`: no, optional or always; `timer_s`: its Session-Expires and Min-SE."""

    number: str
    name: str
    host: str
    port: int
    media_port: int
    log: str
    media_ports: int = 60
    public_host: str = ""
    transport: str = "udp"
    rel100: str = "no"
    timer: str = "no"
    timer_s: int = 90

    @property
    def user_agent(self) -> str:
        return f"{self.name}-device/1.0"


@dataclass(slots=True)
class Digit:
    digit: str
    way: str


@dataclass(slots=True)
class CallView:
    """One call as the phone sees it. `states` and `media`: everything it went through; times are Unix seconds.
    `incoming`: the INVITE, "" for a call that the phone made."""

    name: str
    call_id: str = ""
    remote: str = ""
    contact: str = ""
    incoming: str = ""
    status: int = 0
    states: list[tuple[str, float]] = field(default_factory=list)
    media: list[tuple[str, str]] = field(default_factory=list)
    digits: list[Digit] = field(default_factory=list)
    packets: int = 0
    media_source: str = ""

    @property
    def state(self) -> str:
        return self.states[-1][0] if self.states else ""

    @property
    def direction(self) -> str:
        """Of the media, seen from the phone: sendrecv, sendonly, recvonly, inactive."""
        return self.media[-1][1] if self.media else ""

    @property
    def dialled(self) -> str:
        return "".join(digit.digit for digit in self.digits)

    def entered(self, state: str) -> float | None:
        """When it was first in that state."""
        return next((at for name, at in self.states if name == state), None)


class PhoneRefused(RuntimeError):
    """The phone would not do what it was told; the text is PJSIP's reason."""


class PhoneSilent(AssertionError):
    """What was waited for did not happen; the text says what the phone saw."""


class PhoneDied(RuntimeError):
    """The phone's process has ended by itself; the text is what it said last."""


class Phone:
    """One running phone."""

    def __init__(self, settings: PhoneSettings, process: asyncio.subprocess.Process) -> None:
        self.settings = settings
        self.calls: dict[str, CallView] = {}
        self.on_incoming: Callable[[CallView], None] | None = None
        self._process = process
        self._numbered = 0
        self._answers: dict[int, asyncio.Future[str]] = {}
        self._ready = asyncio.Event()
        self._changed = asyncio.Condition()
        self._reading = asyncio.create_task(self._read())

    @staticmethod
    async def start(settings: PhoneSettings) -> Phone:
        """Switch it on and wait until it listens. What it complains about is in `log` + ".errors"."""
        with Path(settings.log + ".errors").open("wb") as errors:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.pjsua.phone"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                cwd=ROOT,
                limit=_LONGEST_LINE,
                start_new_session=True,
            )
        phone = Phone(settings, process)
        described = asdict(settings) | {
            "public_host": settings.public_host or settings.host,
            "user_agent": settings.user_agent,
        }
        phone._write(described)
        try:
            await asyncio.wait_for(phone._ready.wait(), PATIENCE_S)
        except TimeoutError:
            await phone.stop()
            raise PhoneDied(phone._last_words()) from None
        return phone

    async def stop(self) -> None:
        """Switch it off: it ends its calls; what it has not written to its log by then, it writes."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), PATIENCE_S)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        self._reading.cancel()
        with suppress(asyncio.CancelledError):
            await self._reading

    def signal(self, number: int) -> None:
        """SIGSTOP is a phone whose battery is empty; SIGCONT charges it."""
        self._process.send_signal(number)

    async def do(self, what: str, call: CallView | None = None, **more: Any) -> str:
        """One command of tests/pjsua/phone.py; the call's name. Raises PhoneRefused."""
        if self._reading.done():
            raise PhoneDied(self._last_words())
        self._numbered += 1
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._answers[self._numbered] = answer
        about = {} if call is None else {"call": call.name}
        self._write({"n": self._numbered, "do": what, **about, **more})
        return await asyncio.wait_for(answer, PATIENCE_S)

    async def insist(self, what: str, call: CallView, **more: Any) -> str:
        """The same, again and again while the phone is busy with the last change of the call."""
        until = asyncio.get_running_loop().time() + PATIENCE_S
        while True:
            try:
                return await self.do(what, call, **more)
            except PhoneRefused:
                if asyncio.get_running_loop().time() > until:
                    raise
                await asyncio.sleep(_AGAIN_S)

    async def call(self, uri: str) -> CallView:
        """Dial."""
        name = await self.do("call", to=uri)
        return self.calls.setdefault(name, CallView(name))

    async def rung(self, known: int = 0, patience_s: float = PATIENCE_S) -> CallView:
        """The incoming call that comes after `known` earlier ones."""
        await self._until(lambda: len(self._incoming()) > known, "an incoming call", patience_s)
        return self._incoming()[known]

    async def until(
        self, call: CallView, what: Callable[[CallView], bool], patience_s: float = PATIENCE_S
    ) -> None:
        """Wait until that is true of the call. Raises PhoneSilent."""
        await self._until(lambda: what(call), f"something else than {call}", patience_s)

    async def until_state(self, call: CallView, state: str, patience_s: float = PATIENCE_S) -> None:
        await self.until(call, lambda view: view.entered(state) is not None, patience_s)

    async def messages(self, call_id: str = "") -> list[WireMessage]:
        """Everything that it has sent and received so far, or what belongs to one call."""
        if self._process.returncode is None:
            await self.do("write_log")
        every = messages_of(Path(self.settings.log))
        return [message for message in every if message.call_id == call_id] if call_id else every

    def _incoming(self) -> list[CallView]:
        return [call for call in self.calls.values() if call.incoming]

    async def _until(self, true: Callable[[], bool], what: str, patience_s: float) -> None:
        try:
            async with asyncio.timeout(patience_s), self._changed:
                await self._changed.wait_for(true)
        except TimeoutError:
            raise PhoneSilent(f"{self.settings.name} waited {patience_s:.0f} s for {what}") from None

    def _write(self, line: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(line).encode() + b"\n")

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            self._heard(json.loads(line))
            async with self._changed:
                self._changed.notify_all()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(PhoneDied(self._last_words()))
        self._answers.clear()

    def _last_words(self) -> str:
        said = Path(self.settings.log + ".errors").read_text(encoding="utf-8", errors="replace")
        return f"{self.settings.name}: {said[-_LAST_WORDS:]}"

    def _heard(self, event: dict[str, Any]) -> None:
        kind = event["event"]
        if kind == "ready":
            self._ready.set()
        elif kind in ("done", "refused"):
            answer = self._answers.pop(event["n"])
            if answer.done():
                return
            if kind == "done":
                answer.set_result(event["call"])
            else:
                answer.set_exception(PhoneRefused(event["why"]))
        else:
            self._happened(kind, event)

    def _happened(self, kind: str, event: dict[str, Any]) -> None:
        call = self.calls.setdefault(event["call"], CallView(event["call"]))
        if kind == "incoming":
            call.call_id, call.incoming = event["call_id"], event["message"]
            call.remote, call.contact = event["from"], event["contact"]
            if self.on_incoming is not None:
                self.on_incoming(call)
        elif kind == "state":
            call.states.append((event["state"], event["at"]))
            call.call_id, call.status = event["call_id"], event["status"]
            call.remote, call.contact = event["remote"], event["contact"]
        elif kind == "media":
            call.media.append((event["state"], event["direction"]))
        elif kind == "dtmf":
            call.digits.append(Digit(event["digit"], event["way"]))
        elif kind == "heard":
            call.packets, call.media_source = event["packets"], event["source"]

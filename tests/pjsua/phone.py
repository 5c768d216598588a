"""A real phone as a process of its own: PJSIP without a sound card, told what to do line by line.

`python -m tests.pjsua.phone`. Standard input: one JSON object a line. The first is the phone itself (see
`PhoneSettings` of tests/pjsua/phones.py), then commands {"n": 1, "do": "answer", "call": "in1"}. Standard output: one
JSON object a line. {"event": "done", "n": 1, "call": …} or {"event": "refused", "n": 1, "why": …} for each command,
and what happens: `ready`, `incoming`, `state`, `media`, `dtmf`. `at` is Unix time in seconds. Every message that the
phone sends or receives stands in the file `log`.

One thread does all of it; PJSIP's own thread is the clock of the null audio device.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pjsua2 as pj  # type: ignore[import-untyped]

_TURN_MS = 5
_FAREWELL_S = 1.0
_SAY_NO_MORE = 3  # neither send nor wait for messages
_MOST_CALLS = 4  # what this PJSIP has been built for; one more is told 486
_LOG_MESSAGES = 4
_LOG_DECOR = 2 | 4 | 8 | 16 | 32 | 128  # date, time with milliseconds, a line end
_CODEC = "PCMA/8000"

_STATES = {
    pj.PJSIP_INV_STATE_CALLING: "calling",
    pj.PJSIP_INV_STATE_INCOMING: "incoming",
    pj.PJSIP_INV_STATE_EARLY: "early",
    pj.PJSIP_INV_STATE_CONNECTING: "connecting",
    pj.PJSIP_INV_STATE_CONFIRMED: "confirmed",
    pj.PJSIP_INV_STATE_DISCONNECTED: "disconnected",
}
_DIRECTIONS = {
    pj.PJMEDIA_DIR_NONE: "inactive",
    pj.PJMEDIA_DIR_ENCODING: "sendonly",
    pj.PJMEDIA_DIR_DECODING: "recvonly",
    pj.PJMEDIA_DIR_ENCODING_DECODING: "sendrecv",
}
_MEDIA_STATES = {
    pj.PJSUA_CALL_MEDIA_NONE: "none",
    pj.PJSUA_CALL_MEDIA_ACTIVE: "active",
    pj.PJSUA_CALL_MEDIA_LOCAL_HOLD: "local_hold",
    pj.PJSUA_CALL_MEDIA_REMOTE_HOLD: "remote_hold",
    pj.PJSUA_CALL_MEDIA_ERROR: "error",
}
_USES_100REL = {
    "no": pj.PJSUA_100REL_NOT_USED,
    "optional": pj.PJSUA_100REL_OPTIONAL,
    "mandatory": pj.PJSUA_100REL_MANDATORY,
}
_USES_TIMER = {
    "no": pj.PJSUA_SIP_TIMER_INACTIVE,
    "optional": pj.PJSUA_SIP_TIMER_OPTIONAL,
    "always": pj.PJSUA_SIP_TIMER_ALWAYS,
}


def main() -> int:
    _keep_standard_output()
    phone = Phone(json.loads(sys.stdin.buffer.readline()))
    try:
        phone.run()
    finally:
        phone.close()
    return 0


class Phone:
    """One endpoint, one account, many calls."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.calls: dict[str, Line] = {}
        self.endpoint = pj.Endpoint()
        self._ended: list[Line] = []
        self._numbered = 0
        self._begin()
        self.account = _Account(self)
        self.account.create(self._account_settings())
        tell("ready")

    def run(self) -> None:
        """Until standard input ends."""
        os.set_blocking(0, False)
        unread = b""
        while True:
            self.endpoint.libHandleEvents(_TURN_MS)
            self._ended.clear()  # not earlier: a call must outlive the turn that ended it
            try:
                read = os.read(0, 65536)
            except BlockingIOError:
                continue
            if not read:
                return
            *lines, unread = (unread + read).split(b"\n")
            for line in lines:
                self._obey(json.loads(line))

    def close(self) -> None:
        """End all calls, politely but without waiting for long."""
        self._hang_up_all()
        until = time.monotonic() + _FAREWELL_S
        while self.calls and time.monotonic() < until:
            self.endpoint.libHandleEvents(_TURN_MS)
        self.calls.clear()  # PJSIP minds calls that outlive it
        self._ended.clear()
        self.endpoint.libDestroy(_SAY_NO_MORE)

    def named(self, kind: str) -> str:
        self._numbered += 1
        return f"{kind}{self._numbered}"

    def forget(self, line: Line) -> None:
        self.calls.pop(line.name, None)
        self._ended.append(line)

    def speak_into(self, audio: Any) -> None:
        """Send RTP: the null device's silence."""
        self.endpoint.audDevManager().getCaptureDevMedia().startTransmit(audio)

    def _hang_up_all(self) -> None:
        for line in tuple(self.calls.values()):
            with suppress(pj.Error):
                line.hangup(_parameters())

    def _begin(self) -> None:
        config = pj.EpConfig()
        config.uaConfig.threadCnt = 0
        config.uaConfig.mainThreadOnly = True
        config.uaConfig.maxCalls = _MOST_CALLS
        config.uaConfig.userAgent = self.settings["user_agent"]
        config.logConfig.level = _LOG_MESSAGES
        config.logConfig.consoleLevel = 0
        config.logConfig.decor = _LOG_DECOR
        config.logConfig.filename = self.settings["log"]
        config.medConfig.noVad = True
        config.medConfig.clockRate = config.medConfig.sndClockRate = 8000
        config.medConfig.ecTailLen = 0
        self.endpoint.libCreate()
        self.endpoint.libInit(config)
        self.endpoint.audDevManager().setNullDev()
        for codec in self.endpoint.codecEnum2():
            self.endpoint.codecSetPriority(codec.codecId, 255 if codec.codecId.startswith(_CODEC) else 0)
        transport = pj.TransportConfig()
        transport.boundAddress = self.settings["host"]
        transport.publicAddress = self.settings["public_host"]
        transport.port = self.settings["port"]
        kind = pj.PJSIP_TRANSPORT_TCP if self.settings["transport"] == "tcp" else pj.PJSIP_TRANSPORT_UDP
        self.transport = self.endpoint.transportCreate(kind, transport)
        self.endpoint.libStart()

    def _account_settings(self) -> Any:
        settings = self.settings
        config = pj.AccountConfig()
        config.idUri = f'"{settings["name"]}" <sip:{settings["number"]}@{settings["public_host"]}>'
        config.sipConfig.transportId = self.transport
        config.callConfig.prackUse = _USES_100REL[settings["rel100"]]
        config.callConfig.timerUse = _USES_TIMER[settings["timer"]]
        config.callConfig.timerMinSESec = config.callConfig.timerSessExpiresSec = settings["timer_s"]
        config.natConfig.contactRewriteUse = config.natConfig.viaRewriteUse = 0
        config.natConfig.sdpNatRewriteUse = 0
        media = config.mediaConfig.transportConfig
        media.boundAddress = media.publicAddress = settings["host"]
        media.port, media.portRange = settings["media_port"], settings["media_ports"]
        return config

    def _obey(self, command: dict[str, Any]) -> None:
        action = _ACTIONS[command["do"]]
        try:
            line = self.calls[command["call"]] if "call" in command else None
            name = action(self, line, command)
        except KeyError:
            tell("refused", n=command["n"], why="no such call")
        except pj.Error as error:
            tell("refused", n=command["n"], why=error.reason)
        else:
            tell("done", n=command["n"], call=name)


class _Account(pj.Account):  # type: ignore[misc]
    def __init__(self, phone: Phone) -> None:
        super().__init__()
        self._phone = phone

    def onIncomingCall(self, prm: Any) -> None:
        phone = self._phone
        line = Line(phone, phone.named("in"), prm.callId)
        phone.calls[line.name] = line
        info = line.getInfo()
        tell(
            "incoming",
            call=line.name,
            call_id=info.callIdString,
            **{"from": info.remoteUri, "to": info.localUri, "contact": info.remoteContact},
            message=prm.rdata.wholeMsg,
        )


class Line(pj.Call):  # type: ignore[misc]
    """One call of the phone, by a name of the phone's."""

    def __init__(self, phone: Phone, name: str, call: int = pj.PJSUA_INVALID_ID) -> None:
        super().__init__(phone.account, call)
        self.name = name
        self._phone = phone

    def onCallState(self, prm: Any) -> None:
        info = self.getInfo()
        state = _STATES.get(info.state)
        if state is None:
            return
        if state == "disconnected":
            self._phone.forget(self)
        tell(
            "state",
            call=self.name,
            state=state,
            call_id=info.callIdString,
            status=info.lastStatusCode,
            reason=info.lastReason,
            contact=info.remoteContact,
            remote=info.remoteUri,
        )

    def onCallMediaState(self, prm: Any) -> None:
        info = self.getInfo()  # it owns what is read from it
        for media in info.media:
            if media.type != pj.PJMEDIA_TYPE_AUDIO:
                continue
            if media.status in (pj.PJSUA_CALL_MEDIA_ACTIVE, pj.PJSUA_CALL_MEDIA_REMOTE_HOLD):
                self._phone.speak_into(self.getAudioMedia(media.index))
            tell(
                "media",
                call=self.name,
                state=_MEDIA_STATES[media.status],
                direction=_DIRECTIONS.get(media.dir, "inactive"),
            )

    def onDtmfDigit(self, prm: Any) -> None:
        way = "info" if prm.method == pj.PJSUA_DTMF_METHOD_SIP_INFO else "rtp"
        tell("dtmf", call=self.name, digit=prm.digit, way=way)


# --- commands: each gets the phone, the call that it is about, and itself; answers the call's name ---


def _call(phone: Phone, line: Line | None, command: dict[str, Any]) -> str:
    new = Line(phone, phone.named("out"))
    phone.calls[new.name] = new
    try:
        new.makeCall(command["to"], _parameters())
    except pj.Error:
        phone.forget(new)
        raise
    return new.name


def _with_status(status: int) -> Callable[[Phone, Line, dict[str, Any]], str]:
    def answer(phone: Phone, line: Line, command: dict[str, Any]) -> str:
        parameters = _parameters()
        parameters.statusCode = command.get("status", status)
        line.answer(parameters)
        return line.name

    return answer


def _hang_up(phone: Phone, line: Line, command: dict[str, Any]) -> str:
    """Whatever fits: CANCEL, a refusal, BYE."""
    parameters = _parameters()
    parameters.statusCode = command.get("status", 0)
    line.hangup(parameters)
    return line.name


def _hold(phone: Phone, line: Line, command: dict[str, Any]) -> str:
    line.setHold(_parameters())
    return line.name


def _resume(phone: Phone, line: Line, command: dict[str, Any]) -> str:
    parameters = _parameters()
    parameters.opt.flag = pj.PJSUA_CALL_UNHOLD
    line.reinvite(parameters)
    return line.name


def _update(phone: Phone, line: Line, command: dict[str, Any]) -> str:
    line.update(_parameters())
    return line.name


def _dtmf(phone: Phone, line: Line, command: dict[str, Any]) -> str:
    parameters = pj.CallSendDtmfParam()
    by_info = command["way"] == "info"
    parameters.method = pj.PJSUA_DTMF_METHOD_SIP_INFO if by_info else pj.PJSUA_DTMF_METHOD_RFC2833
    parameters.digits = command["digits"]
    line.sendDtmf(parameters)
    return line.name


def _heard(phone: Phone, line: Line, command: dict[str, Any]) -> str:
    """How many RTP packets of the other side have arrived, and from which address: an event of its own."""
    statistics = line.getStreamStat(0)
    transport = line.getMedTransportInfo(0)
    received = statistics.rtcp.rxStat
    tell("heard", call=line.name, packets=received.pkt, source=transport.srcRtpName)
    return line.name


def _write_log(phone: Phone, line: Line | None, command: dict[str, Any]) -> str:
    """PJSIP leaves its log in the C library's buffer."""
    ctypes.CDLL(None).fflush(None)
    return ""


def _parameters() -> Any:
    return pj.CallOpParam(True)


_ACTIONS: dict[str, Callable[..., str]] = {
    "call": _call,
    "ring": _with_status(180),
    "early_media": _with_status(183),
    "answer": _with_status(200),
    "reject": _with_status(486),
    "hang_up": _hang_up,
    "hold": _hold,
    "resume": _resume,
    "update": _update,
    "dtmf": _dtmf,
    "heard": _heard,
    "write_log": _write_log,
}


def tell(event: str, **values: Any) -> None:
    line = json.dumps({"event": event, "at": time.time(), **values})
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _keep_standard_output() -> None:
    """PJSIP writes to file descriptor 1 before it has its settings: that goes to standard error."""
    sys.stdout = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)


if __name__ == "__main__":
    Path("/proc/self/comm").write_text("phone")
    sys.exit(main())

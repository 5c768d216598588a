"""The check of what phones see finds each leak, and nothing in a masked message."""

from pathlib import Path

import pytest

from tests.pjsua.canaries import leaks
from tests.pjsua.phones import PhoneSettings
from tests.pjsua.wire import WireMessage, messages_of, unanswered

X = "700100000010001"
BERT = PhoneSettings("13800002000", "robert", "127.0.5.6", 21511, 21600, "", public_host="127.0.5.7")

MASKED = f"""SIP/2.0 200 OK
Via: SIP/2.0/UDP 127.0.9.9:21510;branch=z9hG4bKone
From: "anna" <sip:13800001000@127.0.9.9>;tag=annas-tag
To: <sip:{X}@127.0.1.1>;tag=engines-tag
Call-ID: annas-call
CSeq: 1 INVITE
Contact: <sip:opaque@127.0.1.1:21500>
Content-Type: application/sdp

v=0
o=- 1 1 IN IP4 127.0.1.1
s=-
c=IN IP4 127.0.5.6
t=0 0
m=audio 21600 RTP/AVP 8
a=sendrecv"""

SENT_BY_BERT = """SIP/2.0 200 OK
Via: SIP/2.0/UDP 127.0.1.1:21500;branch=z9hG4bKtwo
From: <sip:700100000010001@127.0.1.1>;tag=engines-other-tag
To: <sip:13800002000@127.0.5.6>;tag=berts-tag
Call-ID: berts-call
CSeq: 1 INVITE"""

LOG = """2026-03-01 12:00:00.250  pjsua_core.c  something else
2026-03-01 12:00:00.500 .RX 300 bytes Request msg INVITE/cseq=1 (rdata0x1) from UDP 127.0.1.1:21500:
INVITE sip:13800002000@127.0.5.6:21511 SIP/2.0\r
CSeq: 1 INVITE\r
call-id: one\r
\r

--end msg--
2026-03-01 12:00:01.000 TX 100 bytes Response msg 486/INVITE/cseq=1 (tdta0x1) to UDP 127.0.1.1:21500:
SIP/2.0 486 Busy Here\r
CSeq: 1 INVITE\r
\r

--end msg--
2026-03-01 12:00:02.000 RX 100 bytes Request msg ACK/cseq=1 (rdata0x1) from UDP 127.0.1.1:21500:
ACK sip:13800002000@127.0.5.6:21511 SIP/2.0\r
"""


def found(text: str) -> list[str]:
    received = [WireMessage(0.0, False, text)]
    return leaks(received, BERT, [WireMessage(0.0, True, SENT_BY_BERT)], X)


def test_a_masked_message_is_clean() -> None:
    assert found(MASKED) == []


@pytest.mark.parametrize(
    ("masked", "leaking"),
    [
        ("a=sendrecv", "a=tool:13800002000"),
        ("sip:opaque@", "sip:+8613800002000@"),
        ("CSeq:", "P-Asserted-Identity: <sip:13800002000@127.0.1.1>\nCSeq:"),
        ("opaque@127.0.1.1", "opaque@127.0.5.6"),
        ("opaque@127.0.1.1", "opaque@127.0.5.7"),
        ("o=- 1 1 IN IP4 127.0.1.1", "o=- 1 1 IN IP4 127.0.5.6"),
        ("CSeq:", "Server: robert-device/1.0\nCSeq:"),
        ("engines-tag", "berts-tag"),
        ("annas-call", "berts-call"),
        (f"sip:{X}@", "sip:13800003000@"),
    ],
)
def test_each_leak_is_found(masked: str, leaking: str) -> None:
    assert len(found(MASKED.replace(masked, leaking))) == 1


def test_a_log_is_read_message_by_message(tmp_path: Path) -> None:
    log = tmp_path / "phone.log"
    log.write_text(LOG)
    first, second = messages_of(log)  # the third is not whole
    assert (first.sent, first.method, first.status, first.call_id) == (False, "INVITE", 0, "one")
    assert (second.sent, second.method, second.status) == (True, "INVITE", 486)
    assert second.at - first.at == pytest.approx(0.5)


def test_what_waits_for_an_answer_is_known() -> None:
    def said(sent: bool, first: str, cseq: str) -> WireMessage:
        return WireMessage(0.0, sent, f"{first}\nCall-ID: one\nCSeq: {cseq}")

    dialog = [
        said(True, "INVITE sip:x SIP/2.0", "1 INVITE"),
        said(False, "SIP/2.0 180 Ringing", "1 INVITE"),
        said(True, "CANCEL sip:x SIP/2.0", "1 CANCEL"),
        said(False, "SIP/2.0 200 OK", "1 CANCEL"),
        said(True, "INFO sip:x SIP/2.0", "2 INFO"),
        said(False, "BYE sip:x SIP/2.0", "1 BYE"),
    ]
    assert unanswered(dialog) == {("one", "1 INVITE")}
    dialog += [said(False, "SIP/2.0 487 No", "1 INVITE"), said(True, "ACK sip:x SIP/2.0", "1 ACK")]
    assert unanswered(dialog) == set()

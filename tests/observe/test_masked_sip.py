"""No real number in what is shown of a message, and what is shown is SIP."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sipmessage import Message
from sipmessage import Request as SipRequest

from engine.observe.masked_sip import masked_call_id, masked_message
from engine.sip.message import Request, parse_message
from tests.simulation.canaries import ROWS

KEY = b"k" * 16
NUMBER = "13800000001"
# One number, written in every way that is known; its middle digits are 6429.
FORMS = (
    *("13864297531", "+8613864297531", "8613864297531", "008613864297531", "013864297531"),
    *("+86-138-6429-7531", "138.6429.7531", "(138) 6429 7531", "+86 138 6429 7531"),
    *("%31%33%38%36%34%32%39%37%35%33%31", "%2B8613864297531", "%2b86138%2D6429%2D7531"),
    *("1013864297531", "13864297531234", "70010000001000113864297531"),
)
OFFER = (
    "v=0\r\no={n} {n} 1 IN IP4 127.0.0.1\r\ns={n}\r\ni={n}\r\nu=http://x/{n}\r\ne={n}@x\r\np={n}\r\n"
    "c=IN IP4 192.168.100.200\r\nt=3923423423 3923423424\r\n"
    "m=audio 49170 RTP/AVP 0 8 97 101 102 103 9\r\na=rtpmap:0 PCMU/8000\r\na=fmtp:101 0-15\r\n"
    "a=ssrc:1234567890 cname:{n}\r\na=x-number:{n}\r\n"
    "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj\r\n"
)


def invite(number: str, headers: str = "", body: str = "", kind: str = "application/sdp") -> bytes:
    body = body.replace("{n}", number)
    head = (
        f"INVITE sip:{number}@127.0.0.1:5060 SIP/2.0\r\n"
        "Via: SIP/2.0/UDP 192.168.100.200:5090;branch=z9hG4bK-1-2-3;rport\r\n"
        f'From: "{number}" <sip:{number}@10.0.0.1;user=phone>;tag={number}-1\r\n'
        "To: <sip:700100000010001@127.0.0.1>\r\n"
        f"Call-ID: {number}-1@host\r\n"
        "CSeq: 1380000000 INVITE\r\n"
        f"Contact: <sip:{number}@127.0.0.1:5090>\r\nMax-Forwards: 70\r\n{headers}"
    )
    return f"{head}Content-Type: {kind}\r\nContent-Length: {len(body.encode())}\r\n\r\n{body}".encode()


def digits(text: str) -> str:
    return re.sub(r"\D", "", text)


def test_a_message_as_it_is_shown() -> None:
    shown = masked_message(
        invite(NUMBER, "X-Order: 138\r\n 0000 0001\r\nUser-Agent: phone/1.2\r\n", OFFER), KEY
    )
    mark = masked_call_id(f"{NUMBER}-1@host", KEY).partition("~")[2]
    assert shown.decode() == (
        "INVITE sip:138****0001@127.0.0.1:5060 SIP/2.0\r\n"
        "Via: SIP/2.0/UDP 192.168.100.200:5090;branch=z9hG4bK-1-2-3;rport\r\n"
        'From: "138****0001" <sip:138****0001@10.0.0.1;user=phone>;tag=138****0001-1\r\n'
        "To: <sip:700100000010001@127.0.0.1>\r\n"
        f"Call-ID: 138****0001-1~{mark}\r\n"
        "CSeq: 1380000000 INVITE\r\n"
        "Contact: <sip:138****0001@127.0.0.1:5090>\r\nMax-Forwards: 70\r\n"
        "X-Order: hidden\r\nUser-Agent: phone/1.2\r\n"
        "Content-Type: application/sdp\r\nContent-Length: 284\r\n\r\n"
        "v=0\r\no=138****0001 1380001 1 IN IP4 127.0.0.1\r\n"
        "s=-\r\ni=-\r\nu=-\r\ne=-\r\np=-\r\n"
        "c=IN IP4 192.168.100.200\r\nt=3923423423 3923423424\r\n"
        "m=audio 49170 RTP/AVP 0 8 97 101 102 103 9\r\na=rtpmap:0 PCMU/8000\r\na=fmtp:101 0-15\r\n"
        "a=ssrc:1234567890 cname:138****0001\r\na=x-number:138****0001\r\na=crypto:hidden\r\n"
    )


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("place", ["head", "row", "session", "text", "isup", "multipart"])
def test_no_form_of_a_number_is_left_anywhere(form: str, place: str) -> None:
    rows = "".join(ROWS.values()).replace("{c}", "canary").replace("{n}", form).replace("\n", "\r\n")
    data = {
        "head": invite(form),
        "row": invite(form, f"{rows}\r\n"),
        "session": invite(form, body=OFFER),
        "text": invite(form, body="call {n} now", kind="text/plain"),
        "isup": invite(form, body="\x31\x08\x00\x00\x00\x10", kind="application/ISUP"),
        "multipart": invite(form, body="--b\r\n\r\n{n}\r\n--b--\r\n", kind="multipart/mixed;boundary=b"),
    }[place]
    shown = masked_message(data, KEY).decode()
    assert "38642" not in digits(re.sub("%3([0-9])", r"\\1", shown))
    assert "64297" not in digits(shown)


@pytest.mark.parametrize("fold", ["\r\n ", "\r\n\t", "\n  "])
def test_a_number_that_is_folded_is_masked_too(fold: str) -> None:
    line = f"Contact: <tel:+86138{fold}0000{fold}0001>\r\n"
    assert b"Contact: <tel:138****0001>\r\n" in masked_message(invite("700100000010001", line), KEY)


def test_what_masking_leaves_is_a_message() -> None:
    shown = masked_message(invite(NUMBER, body=OFFER), KEY)
    parsed = parse_message(shown)
    assert isinstance(parsed, Request)
    assert parsed.method == "INVITE"
    assert parsed.cseq == 1380000000
    body = shown.partition(b"\r\n\r\n")[2]
    assert parsed.value("content-length") == str(len(body))
    assert isinstance(Message.parse(shown), SipRequest)


@pytest.mark.parametrize(
    "line",
    [
        "To: <sip:+86700100000010001@127.0.0.1>", "Via: SIP/2.0/UDP 100.200.100.200:5060;branch=z9hG4bK1380000",
        "RAck: 1380000000 1 INVITE", "RSeq: 1987654321", "Contact: <sip:3fcd4a4871234547@127.0.0.1:22060>",
        "Call-ID: 3fe33703bdb031f5-17b263e888a8a926", "Session-Expires: 1800;refresher=uac", "l: 0", "x: 90",
        "Record-Route: <sip:[2001:db8::1234:5678]:5060;lr>", "Reason: Q.850;cause=16",
    ],
)  # fmt: skip
def test_what_is_no_number_stays(line: str) -> None:
    data = f"SIP/2.0 180 Ringing\r\n{line}\r\n\r\n".encode()
    assert masked_message(data, KEY) == data


def test_call_ids_that_masking_would_make_equal_stay_apart() -> None:
    one, other = (masked_call_id(f"1380000{part}0001@host", KEY) for part in ("0001", "0002"))
    assert one != other
    assert one.partition("~")[0] == "138****0001" or one.startswith("138")
    assert masked_call_id("13800000001@host", KEY) == masked_call_id("13800000001@host", KEY)
    assert masked_call_id("13800000001@host", KEY) != masked_call_id("13800000001@host", b"x" * 16)


def test_a_message_with_bare_line_ends() -> None:
    data = b"BYE sip:13800000001@host SIP/2.0\nCall-ID: a\nX: 13800000001\nSubject: 1\nl: 9\n\n13800000001"
    shown = masked_message(data, KEY).decode()
    assert (
        shown == "BYE sip:138****0001@host SIP/2.0\nCall-ID: a\nX: 138****0001\nSubject: hidden\nl: 23\n\n"
        "hidden: 11 characters\r\n"
    )


@given(st.binary(max_size=300), st.sampled_from([b"INVITE sip:a SIP/2.0\r\n", b"SIP/2.0 200 OK\r\n"]))
def test_octets_of_any_kind_are_survived(rest: bytes, start: bytes) -> None:
    masked_message(start + rest, KEY)


@given(
    st.text(max_size=12), st.text(max_size=12), st.sampled_from(["From", "Contact", "Call-ID", "X-A", "t"])
)
def test_a_number_beside_anything_is_masked(before: str, after: str, name: str) -> None:
    shown = masked_message(f"BYE sip:a SIP/2.0\r\n{name}: {before}13800000001{after}\r\n\r\n".encode(), KEY)
    assert b"13800000001" not in shown

"""Digest credentials: the examples of RFC 7616 section 3.9, which challenge is answered, and what is no challenge."""

from __future__ import annotations

import pytest

from engine.sip.digest import Authorizer, Challenge, Credentials, challenge_of
from engine.sip.message import Response, parse_message

MUFASA = Credentials("Mufasa", "Circle of Life")
NONCE = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
CNONCE = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
OPAQUE = "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"


def answer(status: int, *lines: str) -> Response:
    text = "\r\n".join(
        [
            f"SIP/2.0 {status} No", "Via: SIP/2.0/UDP h;branch=z9hG4bK1", "From: <sip:a@h>;tag=a",
            "To: <sip:b@h>;tag=b", "Call-ID: c", "CSeq: 1 INVITE", *lines, "Content-Length: 0", "", "",
        ]
    )  # fmt: skip
    message = parse_message(text.encode())
    assert isinstance(message, Response)
    return message


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_examples_of_the_rfc(algorithm: str, response: str) -> None:
    challenge = Challenge(False, "http-auth@example.org", NONCE, OPAQUE, algorithm, True, False)
    line = Authorizer(challenge, MUFASA, CNONCE).line("GET", "/dir/index.html")
    assert line.startswith('Authorization: Digest username="Mufasa", realm="http-auth@example.org", ')
    assert f'response="{response}"' in line
    assert f'qop=auth, nc=00000001, cnonce="{CNONCE}", opaque="{OPAQUE}"\r\n' in line


def test_without_qop_there_is_no_count() -> None:
    """RFC 2617's example (section 3.5) as a far end of RFC 2069 would have it."""
    challenge = Challenge(True, "r", "n", "", "MD5", False, False)
    line = Authorizer(challenge, Credentials("u", "p"), "c").line("INVITE", "sip:x@h")
    assert line.startswith("Proxy-Authorization: Digest ")
    assert "nc=" not in line
    assert "cnonce" not in line


def test_the_count_rises_with_each_request() -> None:
    authorizer = Authorizer(Challenge(False, "r", "n", "", "SHA-256", True, False), MUFASA, "c")
    lines = [authorizer.line(method, "sip:x@h") for method in ("INVITE", "ACK", "BYE")]
    assert [f"nc=0000000{count}" in line for count, line in enumerate(lines, 1)] == [True] * 3
    assert len({line.partition("response=")[2][:60] for line in lines}) == 3


def test_the_strongest_challenge_is_answered() -> None:
    response = answer(
        401,
        'WWW-Authenticate: Digest realm="r", nonce="1", algorithm=MD5, qop="auth"',
        'WWW-Authenticate: Digest realm="r", nonce="2", algorithm=SHA-256, qop="auth, auth-int"',
        'WWW-Authenticate: Digest realm="r", nonce="3", algorithm=SHA-256, qop="auth"',
        'WWW-Authenticate: Digest realm="r", nonce="4", algorithm=SHA-999, qop="auth"',
    )
    challenge = challenge_of(response)
    assert challenge is not None
    assert (challenge.nonce, challenge.algorithm, challenge.proxy) == ("2", "SHA-256", False)


def test_a_proxys_challenge_and_its_escapes() -> None:
    response = answer(
        407, 'Proxy-Authenticate: DIGEST  Realm="a \\"b\\" \\\\ c",nonce = "n,1" , stale=TRUE,opaque="o"'
    )
    challenge = challenge_of(response)
    assert challenge == Challenge(True, 'a "b" \\ c', "n,1", "o", "MD5", False, True)
    line = Authorizer(challenge, MUFASA, "c").line("INVITE", "sip:x@h")
    assert 'realm="a \\"b\\" \\\\ c", nonce="n,1"' in line


@pytest.mark.parametrize(
    "value",
    [
        'Basic realm="r"',
        'Digest realm="r"',
        'Digest nonce="n"',
        'Digest realm="r", nonce="n", qop="auth-int"',
        'Digest realm="r", nonce="n", algorithm=MD5-sess',
        'Digest realm="r" nonce="n"',
        'Digest realm="r", nonce="n',
        "Digest realm=r, nonce=n, " + "x=y," * 1000,
        "",
    ],
)
def test_what_cannot_be_answered(value: str) -> None:
    assert challenge_of(answer(401, f"WWW-Authenticate: {value}")) is None
    assert challenge_of(answer(407, f"WWW-Authenticate: {value}")) is None


def test_a_password_shows_nowhere() -> None:
    assert "Circle" not in repr(MUFASA)
    assert "Circle" not in str(MUFASA)

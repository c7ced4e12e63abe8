"""E through nginx: whatever nginx and the gateway take for the end of a request, they take the same thing for it.

Every body here hides a whole, correctly signed DELETE of the object `victim`, which must never be carried out; and
nginx keeps connections to the gateway that others use next, so what is left on one of those would be their answer.
"""

import pytest

from tests.support.caller import Caller
from tests.support.raw_http import Answer, Request, all_answers, http_chunks
from tests.support.signer import STREAMING_UNSIGNED_TRAILER, UNSIGNED

OTHERS = 6


def hidden_delete(caller: Caller, bucket: str) -> bytes:
    return caller.signed("DELETE", f"/{bucket}/victim").encode()


def framed(caller: Caller, bucket: str, *headers: tuple[str, str], version: str = "HTTP/1.1") -> bytes:
    """The head of a signed PUT with framing of the test's own."""
    request = caller.signer.sign(
        Request("PUT", f"/{bucket}/victim", (("Host", caller.authority), ("If-None-Match", "*")), version=version),
        payload=UNSIGNED,
    )
    for name, value in headers:
        request = request.with_header(name, value)
    return request.head()


def one_answer(caller: Caller, data: bytes) -> Answer:
    """The only answer to these bytes, after which the connection is closed; others get theirs as ever."""
    answers, closed = all_answers(caller.host, caller.port, data, methods=["PUT"])
    assert len(answers) == 1, answers
    assert closed
    others_are_unharmed(caller)
    return answers[0]


def others_are_unharmed(caller: Caller) -> None:
    """Requests over the connections to the gateway that nginx has kept: each gets its own answer."""
    for number in range(OTHERS):
        answer = caller.call("GET", f"/demo-media/missing-{number}")
        assert answer.status == 404, answer
        assert f"missing-{number}".encode() in answer.body


@pytest.mark.parametrize(
    "headers",
    [
        [("Content-Length", "5"), ("Transfer-Encoding", "chunked")],
        [("Transfer-Encoding", "chunked"), ("Content-Length", "5")],
        [("Content-Length", "0"), ("Transfer-Encoding", "chunked")],
        [("Transfer-Encoding", "xchunked")],
        [("Transfer-Encoding", "\x0bchunked")],
        [("Transfer-Encoding", "chunked, identity")],
        [("Transfer-Encoding", "identity"), ("Content-Length", "5")],
        [("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "identity")],
        [("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "chunked")],
        [("Transfer-Encoding", "gzip, chunked")],
        [("Transfer-Encoding", "chunked\udcff")],
        [("Transfer-Encoding ", "chunked")],
        [("Transfer-Encoding\t", "chunked")],
        [(" Transfer-Encoding", "chunked")],
        [("Transfer-Encoding", "\r\n chunked")],
        [("X-Folded", "a\r\n Transfer-Encoding: chunked")],
        [("Content-Length", "3"), ("Content-Length", "3")],
        [("Content-Length", "3"), ("Content-Length", "4")],
        [("Content-Length", "3, 3")],
        [("Content-Length", "+3")],
        [("Content-Length", "-1")],
        [("Content-Length", "0x3")],
        [("Content-Length", "1_0")],
        [("Content-Length", "9" * 23)],
        [("Content-Length ", "3")],
        [("Content-Length", "3\x0b")],
    ],
)
def test_e01_e02_ambiguous_framing_is_refused_once(caller, untouched, headers):
    hidden = hidden_delete(caller, untouched)
    head = framed(caller, untouched, *headers)
    for body in (http_chunks([b"x"]) + hidden, b"%x\r\n" % len(hidden) + hidden + b"\r\n0\r\n\r\n", b"xxx" + hidden):
        assert one_answer(caller, head + body).status in (400, 501)


def test_e04_chunks_under_http_1_0_are_refused(caller, untouched):
    head = framed(caller, untouched, ("Transfer-Encoding", "chunked"), version="HTTP/1.0")
    assert one_answer(caller, head + http_chunks([b"x"]) + hidden_delete(caller, untouched)).status in (400, 501)


@pytest.mark.parametrize(
    "chunks",
    [
        b"0x1\r\nx\r\n0\r\n\r\n",
        b"+1\r\nx\r\n0\r\n\r\n",
        b"-1\r\nx\r\n0\r\n\r\n",
        b"1_0\r\n" + b"x" * 16 + b"\r\n0\r\n\r\n",
        b"\r\nx\r\n0\r\n\r\n",
        b"1\r\nxx\r\n0\r\n\r\n",
        b"10000000000000001\r\nx\r\n0\r\n\r\n",
    ],
)
def test_e01_broken_chunks_end_the_connection(caller, untouched, chunks):
    headers = (("Host", caller.authority), ("x-amz-decoded-content-length", "1"), ("Transfer-Encoding", "chunked"))
    request = Request("PUT", f"/{untouched}/framed", headers)
    head = caller.signer.sign(request, payload=STREAMING_UNSIGNED_TRAILER).head()
    assert one_answer(caller, head + chunks + hidden_delete(caller, untouched)).status == 400


@pytest.mark.parametrize(
    "chunks", [b"%x;a=b\r\n%b\r\n0;c\r\n\r\n", b'%x;"\r\n%b\r\n0\r\n\r\n', b"%x\n%b\n0\n\n", b"%x;\n%b\r\n0\r\n\r\n"]
)
def test_e01_what_nginx_forgives_in_chunks_is_one_body_for_both(caller, untouched, chunks):
    """Chunk extensions and bare line feeds: nginx frames the body anew, and the hidden request stays part of it."""
    hidden = hidden_delete(caller, untouched)
    head = framed(caller, untouched, ("Transfer-Encoding", "chunked"))
    answers, _ = all_answers(caller.host, caller.port, head + chunks % (len(hidden), hidden), methods=["PUT"])
    assert [answer.status for answer in answers] in ([400], [411], [412], [501])
    others_are_unharmed(caller)


def test_a_bare_line_feed_in_a_head_ends_a_line_for_both(caller, untouched):
    """nginx takes it for a line's end and writes the head anew: there is nothing left to disagree about."""
    hidden = hidden_delete(caller, untouched)
    head = framed(caller, untouched, ("Content-Length", str(len(hidden))), ("X-A", "b")).replace(
        b"X-A: b\r\n", b"X-A: b\n"
    )
    answers, _ = all_answers(caller.host, caller.port, head + hidden, methods=["PUT"])
    assert [answer.status for answer in answers] in ([400], [412])
    others_are_unharmed(caller)


@pytest.mark.parametrize("upgrade", ["websocket", "h2c"])
def test_e05_an_upgrade_is_not_passed_on(caller, untouched, upgrade):
    hidden = hidden_delete(caller, untouched)
    head = framed(
        caller, untouched, ("Connection", "Upgrade"), ("Upgrade", upgrade), ("Content-Length", str(len(hidden)))
    )
    answers, _ = all_answers(caller.host, caller.port, head + hidden, methods=["PUT"])
    assert [answer.status for answer in answers] == [412]
    others_are_unharmed(caller)


@pytest.mark.parametrize("hosts", [[], ["{host}", "{host}"], ["{host}", "evil.example"], ["a, b"], ["evil.example/x"]])
def test_e11_anything_but_one_host_is_refused(caller, untouched, hosts):
    headers = tuple(("Host", host.format(host=caller.authority)) for host in hosts)
    request = caller.signer.sign(Request("DELETE", f"/{untouched}/victim", headers))
    assert caller.ask(request).status in (400, 403)


@pytest.mark.parametrize("name", ["x_amz_copy_source", "X_Amz_Copy_Source"])
def test_e19_an_underscore_is_no_hyphen(caller, untouched, name):
    answer = caller.call("PUT", f"/{untouched}/k", b"mine", [(name, f"/{untouched}/victim")])
    assert answer.status == 200
    assert caller.get(untouched, "k").body == b"mine"
    assert caller.call("DELETE", f"/{untouched}/k").status == 204

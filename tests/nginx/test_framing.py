"""E through nginx: whatever nginx and the gateway take for the end of a request, they take the same thing for it.

nginx keeps connections to the gateway that others use next, so what is left on one of those would be their answer.
"""

import pytest

from tests.support.caller import Caller
from tests.support.framing import (
    BROKEN_CHUNKS,
    CONTENT_LENGTHS,
    NOT_ONE_HOST,
    TRANSFER_ENCODINGS,
    chunked_put,
    delete_with_hosts,
    framed_put,
    hidden_delete,
    hiding,
)
from tests.support.raw_http import Answer, all_answers, http_chunks

OTHERS = 6


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


@pytest.mark.parametrize("headers", [*TRANSFER_ENCODINGS, *CONTENT_LENGTHS])
def test_e01_e02_ambiguous_framing_is_refused_once(caller, untouched, headers):
    head = framed_put(caller, untouched, headers).head()
    for body in hiding(caller, untouched):
        assert one_answer(caller, head + body).status in (400, 501)


def test_e04_chunks_under_http_1_0_are_refused(caller, untouched):
    head = framed_put(caller, untouched, [("Transfer-Encoding", "chunked")], version="HTTP/1.0").head()
    assert one_answer(caller, head + http_chunks([b"x"]) + hidden_delete(caller, untouched)).status in (400, 501)


@pytest.mark.parametrize("chunks", BROKEN_CHUNKS)
def test_e01_broken_chunks_end_the_connection(caller, untouched, chunks):
    assert one_answer(caller, chunked_put(caller, untouched, chunks)).status == 400


@pytest.mark.parametrize(
    "chunks",
    [
        b"%x;a=b\r\n%b\r\n0;c\r\n\r\n",
        b'%x;"\r\n%b\r\n0\r\n\r\n',
        b"%x\n%b\n0\n\n",
        b"%x;\n%b\r\n0\r\n\r\n",
        b"%x \x0b\r\n%b\r\n0\r\n\r\n",
    ],
)
def test_e01_what_nginx_forgives_in_chunks_is_one_body_for_both(caller, untouched, chunks):
    """Chunk extensions and bare line feeds: nginx frames the body anew, and the hidden request stays part of it."""
    hidden = hidden_delete(caller, untouched)
    head = framed_put(caller, untouched, [("Transfer-Encoding", "chunked")]).head()
    answers, _ = all_answers(caller.host, caller.port, head + chunks % (len(hidden), hidden), methods=["PUT"])
    assert [answer.status for answer in answers] in ([400], [411], [412], [501])
    others_are_unharmed(caller)


def test_a_bare_line_feed_in_a_head_ends_a_line_for_both(caller, untouched):
    """nginx takes it for a line's end and writes the head anew: there is nothing left to disagree about."""
    hidden = hidden_delete(caller, untouched)
    head = framed_put(caller, untouched, [("Content-Length", str(len(hidden))), ("X-A", "b")]).head()
    head = head.replace(b"X-A: b\r\n", b"X-A: b\n")
    answers, _ = all_answers(caller.host, caller.port, head + hidden, methods=["PUT"])
    assert [answer.status for answer in answers] in ([400], [412])
    others_are_unharmed(caller)


@pytest.mark.parametrize("upgrade", ["websocket", "h2c"])
def test_e05_an_upgrade_is_not_passed_on(caller, untouched, upgrade):
    hidden = hidden_delete(caller, untouched)
    headers = [("Connection", "Upgrade"), ("Upgrade", upgrade), ("Content-Length", str(len(hidden)))]
    head = framed_put(caller, untouched, headers).head()
    answers, _ = all_answers(caller.host, caller.port, head + hidden, methods=["PUT"])
    assert [answer.status for answer in answers] == [412]
    others_are_unharmed(caller)


@pytest.mark.parametrize("hosts", NOT_ONE_HOST)
def test_e11_anything_but_one_host_is_refused(caller, untouched, hosts):
    assert caller.ask(delete_with_hosts(caller, untouched, hosts)).status in (400, 403)


@pytest.mark.parametrize("name", ["x_amz_copy_source", "X_Amz_Copy_Source"])
def test_e19_an_underscore_is_no_hyphen(caller, untouched, name):
    answer = caller.call("PUT", f"/{untouched}/k", b"mine", [(name, f"/{untouched}/victim")])
    assert answer.status == 200
    assert caller.get(untouched, "k").body == b"mine"
    assert caller.call("DELETE", f"/{untouched}/k").status == 204

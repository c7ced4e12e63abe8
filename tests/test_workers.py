"""What a keeper and its workers share: framed settings, and sockets on one address."""

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import Listen
from gateway.workers import Frames, Silence, bind, frame


@given(st.lists(st.text()), st.data())
def test_framed_texts_arrive_whole_however_they_are_cut(texts, data):
    stream = b"".join(map(frame, texts))
    frames, found = Frames(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += frames.feed(stream[:size])
        stream = stream[size:]
    assert found == texts


def test_each_worker_listens_on_the_same_port():
    bound = bind(Listen(host="127.0.0.1", port=0), 3)
    ports = {each.getsockname()[1] for sockets in bound for each in sockets}
    assert [len(sockets) for sockets in bound] == [1, 1, 1]
    assert len(ports) == 1
    with socket.create_connection(("127.0.0.1", ports.pop()), timeout=5):
        pass
    for sockets in bound:
        sockets[0].close()


def test_an_address_that_somebody_else_has_cannot_be_had():
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        bind(Listen(host="127.0.0.1", port=taken.getsockname()[1]), 2)


def test_a_worker_that_is_heard_at_some_look_is_not_stuck():
    silence = Silence()
    for _ in range(3):
        assert not any(silence.look(heard=False) for _ in range(3))
        assert not silence.look(heard=True)


def test_a_keeper_that_was_held_up_itself_has_looked_in_vain_but_once():
    silence = Silence()
    assert not silence.look(heard=False)
    assert not silence.look(heard=True)
    assert [silence.look(heard=False) for _ in range(4)] == [False, False, False, True]

"""gateway/stream_memory.py: large pieces while few streams run, small ones when there are many, a bounded sum always."""

import pytest

from gateway.stream_memory import LARGE, SMALL, StreamMemory

MIB = 1 << 20


def test_pieces_are_large_while_there_is_much_left():
    assert StreamMemory().piece_size() == LARGE


@pytest.mark.parametrize("size", [0, 1, SMALL, 16 * SMALL])
def test_pieces_are_small_where_little_is_left(size):
    assert StreamMemory(size).piece_size() == SMALL


def test_small_pieces_are_not_counted():
    memory = StreamMemory(MIB)
    assert memory.hold(SMALL) == 0
    assert memory.left == MIB
    assert memory.hold(SMALL + 1) == SMALL + 1
    assert memory.left == MIB - SMALL - 1


def test_however_many_streams_take_a_piece_the_large_ones_stay_within_the_sum():
    memory = StreamMemory(32 * MIB)
    sizes = [memory.stream().take() for _ in range(10_000)]
    assert sizes == sorted(sizes, reverse=True)
    assert (sizes[0], sizes[-1]) == (LARGE, SMALL)
    assert sum(size for size in sizes if size > SMALL) <= 32 * MIB
    assert memory.left >= 0


def test_streams_that_go_on_share_what_there_is():
    memory = StreamMemory(32 * MIB)
    streams = [(stream, stream.take()) for stream in (memory.stream() for _ in range(400))]
    for _ in range(50):
        for number, (stream, size) in enumerate(streams):
            stream.drop(size)
            streams[number] = (stream, stream.take())
    sizes = [size for _, size in streams]
    assert min(sizes) > SMALL
    assert max(sizes) < LARGE // 2


def test_a_stream_that_ends_gives_back_all_that_it_holds():
    memory = StreamMemory(MIB)
    with pytest.raises(ZeroDivisionError), memory.stream() as stream:
        first = stream.take()
        stream.take()
        stream.drop(first)
        assert memory.left < MIB
        raise ZeroDivisionError
    assert memory.left == MIB

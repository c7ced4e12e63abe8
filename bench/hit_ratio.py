"""python -m bench.hit_ratio: what S3-FIFO keeps, beside LRU and the best that anybody could.

A trace of requests whose popularity follows Zipf's law, all objects of one size; the cache holds a part of them. Then
the same with a scan in its middle: objects that are asked for once and never again, ten times what the cache holds,
whose own requests are not counted. The best is Belady's: what is asked for again the latest goes, or is never kept.
"""

import argparse
import random
import sys
from collections import OrderedDict
from collections.abc import Callable, Sequence
from hashlib import blake2b
from heapq import heapify, heappop, heappush
from itertools import accumulate

from gateway.cache.admission import Admission

_SIZE = 1000
_NEVER = sys.maxsize

Policy = Callable[[Sequence[int], int], list[bool]]
"""Which requests of a trace are hits, in a cache of so many objects."""


def zipf(requests: int, objects: int, exponent: float, seed: int) -> list[int]:
    """Object 0 is asked for most."""
    weights = list(accumulate(1 / rank**exponent for rank in range(1, objects + 1)))
    return random.Random(seed).choices(range(objects), cum_weights=weights, k=requests)


def s3_fifo(trace: Sequence[int], capacity: int) -> list[bool]:
    """The gateway's own."""
    names = {number: blake2b(b"%d" % number, digest_size=20).digest() + bytes(4) for number in set(trace)}
    admission, hits = Admission(capacity * _SIZE), []
    for number in trace:
        name = names[number]
        hit = admission.touch(name)
        if not hit:
            admission.add(name, _SIZE)
        hits.append(hit)
    return hits


def lru(trace: Sequence[int], capacity: int) -> list[bool]:
    kept: OrderedDict[int, None] = OrderedDict()
    hits = []
    for number in trace:
        hit = number in kept
        if hit:
            kept.move_to_end(number)
        else:
            if len(kept) >= capacity:
                kept.popitem(last=False)
            kept[number] = None
        hits.append(hit)
    return hits


def best(trace: Sequence[int], capacity: int) -> list[bool]:
    """Belady's: the future is known."""
    following = [_NEVER] * len(trace)
    seen: dict[int, int] = {}
    for position in range(len(trace) - 1, -1, -1):
        following[position] = seen.get(trace[position], _NEVER)
        seen[trace[position]] = position
    due: dict[int, int] = {}  # what is kept, and when it is asked for again
    latest: list[tuple[int, int]] = []
    hits = []
    for position, number in enumerate(trace):
        hits.append(number in due)
        due[number] = following[position]
        heappush(latest, (-following[position], number))
        while len(due) > capacity:
            when, candidate = heappop(latest)
            if due.get(candidate) == -when:
                del due[candidate]
        if len(latest) > 8 * capacity + 1000:
            latest = [(-when, kept) for kept, when in due.items()]
            heapify(latest)
    return hits


POLICIES: dict[str, Policy] = {"S3-FIFO": s3_fifo, "LRU": lru, "the best": best}


def ratio(policy: Policy, trace: Sequence[int], capacity: int, *, scan: int = 0) -> float:
    """The share of hits; with a scan, of the requests that are not the scan's."""
    middle = len(trace) // 2
    scanned = range(max(trace) + 1, max(trace) + 1 + scan)
    hits = policy([*trace[:middle], *scanned, *trace[middle:]], capacity)
    return (sum(hits[:middle]) + sum(hits[middle + scan :])) / len(trace)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.hit_ratio", description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=1_000_000, metavar="N")
    parser.add_argument("--objects", type=int, default=100_000, metavar="N")
    parser.add_argument("--exponent", type=float, default=0.9, metavar="A", help="of Zipf's law")
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    arguments = parser.parse_args()
    trace = zipf(arguments.requests, arguments.objects, arguments.exponent, arguments.seed)
    print(f"{'cache':<8}{'policy':<10}{'hits':>8}{'with a scan':>13}{'costs':>8}")
    for percent in (1, 10):
        capacity = arguments.objects * percent // 100
        for name, policy in POLICIES.items():
            plain = 100 * ratio(policy, trace, capacity)
            scanned = 100 * ratio(policy, trace, capacity, scan=10 * capacity)
            print(f"{percent:>3} %   {name:<10}{plain:>6.1f} %{scanned:>11.1f} %{plain - scanned:>8.2f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

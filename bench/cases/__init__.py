"""The cases, by name. Each is small: what is sent, what is compared, what is to be reached."""

from bench.cases.base import Case
from bench.cases.forward import ForwardGet, ForwardPut
from bench.cases.get import Get
from bench.cases.head import Head
from bench.cases.hot import ColdGet, HotGet, HotLatency
from bench.cases.large import LargeBodies
from bench.cases.ledger import Reserve
from bench.cases.listing import List
from bench.cases.private import PrivateMedia
from bench.cases.put import Put
from bench.cases.rules import Evaluate, LargePolicy
from bench.cases.seeing import SeeCount, SeeLog
from bench.cases.verify import VerifyHeader, VerifyPresigned

_ALL: tuple[Case, ...] = (
    Get("get-64k", 64 << 10, limit=6.0),
    Get("get-1m", 1 << 20, limit=3.0),
    Head(),
    VerifyHeader(),
    VerifyPresigned(),
    SeeCount(),
    SeeLog(),
    Evaluate(),
    LargePolicy(),
    Reserve(),
    *(List(place, delimiter) for delimiter in (False, True) for place in ("start", "middle", "end")),
    Put("put-64k", in_memory=True),
    Put("put-64k-disk", in_memory=False),
    PrivateMedia("private-64k-kept", 64 << 10, authorisation_s=300, limit=1.3),
    PrivateMedia("private-64k-each", 64 << 10, authorisation_s=0, limit=7.0),
    PrivateMedia("private-1m-kept", 1 << 20, authorisation_s=300, limit=1.3),
    PrivateMedia("private-1m-each", 1 << 20, authorisation_s=0, limit=7.0),
    LargeBodies(),
    ForwardGet("forward-get-1k", 1 << 10, limit=4.5),
    ForwardGet("forward-get-64k", 64 << 10, limit=4.0),
    ForwardGet("forward-get-1m", 1 << 20, limit=1.5),
    ForwardGet("forward-get-64m", 64 << 20, limit=1.5),
    HotGet("hot-get-64k", 64 << 10, limit=4.5),
    HotGet("hot-get-64k-presigned", 64 << 10, limit=3.0, presigned=True),
    HotGet("hot-get-1m", 1 << 20, limit=2.5),
    HotGet("hot-range-64k", 1 << 20, limit=6.0, part=64 << 10),
    HotLatency("hot-p99-64k", 64 << 10, connections=1000, limit_ms=50.0),
    ColdGet("cold-get-64k", 64 << 10, limit=1.1),
    ColdGet("cold-get-1m", 1 << 20, limit=1.1),
    ForwardPut("forward-put-64k", 64 << 10, limit=5.0, signed=True),  # put-64k's 400 µs, in nginx's 80
    ForwardPut("forward-put-1m", 1 << 20, limit=3.6, signed=True),
    ForwardPut("forward-put-64m", 64 << 20, limit=3.6, signed=True),
    ForwardPut("forward-put-1m-unsigned", 1 << 20, limit=2.0, signed=False),
    ForwardPut("forward-put-64m-unsigned", 64 << 20, limit=2.0, signed=False),
)
CASES = {case.name: case for case in _ALL}

"""Pages of 1,000 out of 1,000,000 keys: it may not matter where a page begins."""

from bench import load
from bench.environment import FOLDERS, KEYS_PER_FOLDER, Environment, key_of
from bench.report import Sample, Target
from bench.servers import BUCKET

_PAGE = 1000
_FOLDERS_BEFORE = {"start": 0, "middle": FOLDERS // 2, "end": FOLDERS}


class List:
    """ListObjectsV2 of a page at the start, in the middle or at the end; with a delimiter it has 1,000 prefixes."""

    def __init__(self, place: str, delimiter: bool) -> None:
        self.name = f"list-{'delimiter-' if delimiter else ''}{place}"
        self.target = Target(30.0, "ms (median)")
        size = _PAGE if delimiter else _PAGE // KEYS_PER_FOLDER
        first = min(_FOLDERS_BEFORE[place], FOLDERS - size)
        self._query = f"list-type=2&max-keys={_PAGE}"
        if first:
            after = key_of(first - 1, KEYS_PER_FOLDER - 1).replace("/", "%2F")
            self._query += f"&start-after={after}"
        if delimiter:
            self._query = f"delimiter=%2F&{self._query}"

    def measure(self, environment: Environment) -> Sample:
        gateway = environment.large
        request = environment.large_signer.signed("GET", f"/{BUCKET}?{self._query}")
        page = load.run(
            gateway.address, [request], pid=gateway.pid, seconds=min(environment.seconds, 1.0), connections=1
        )
        details = {
            "CPU ms": page.cpu_us / 1000,
            "fastest ms": min(page.latencies_ns) / 1e6,
            "slowest ms": max(page.latencies_ns) / 1e6,
        }
        return Sample(page.median_ms, details)

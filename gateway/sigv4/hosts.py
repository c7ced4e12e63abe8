"""The host names that clients sign for: the one they sent, and others that reach the same gateway.

A proxy may exchange the Host header, and a web framework the host of a URL after signing it (Laravel's
`temporaryUrl`). So a signature is also tried for each configured public host. But a host can name a bucket
(`bucket.domain`), and then it is part of what was signed: another name is tried only if it means the same bucket.
Otherwise a URL signed for `domain/a/key` would open `a/key` in bucket `b` when sent to `b.domain`.
"""

from collections.abc import Iterator

_DEFAULT_PORTS = (":80", ":443")


class PublicHosts:
    """The configured `hosts` (with their ports) and virtual-host `domains`, compared in lower case."""

    __slots__ = ("_domains", "_hosts")

    def __init__(self, hosts: tuple[str, ...], domains: tuple[str, ...]) -> None:
        self._domains = tuple(sorted((domain.lower() for domain in domains), key=len, reverse=True))
        self._hosts = tuple(host.lower() for host in hosts)

    def bucket_of(self, host: str) -> str | None:
        """The bucket that a virtual-host name stands for; the longest domain wins, a domain itself has none.

        This must say what `gateway.s3.address.parse_address` says, which routes the request.
        """
        if not self._domains:
            return None
        name = without_port(host.lower()).removesuffix(".")
        if name in self._domains:
            return None
        for domain in self._domains:
            if name.endswith(f".{domain}"):
                return name[: -len(domain) - 1]
        return None

    def alternatives(self, sent: str) -> Iterator[str]:
        """What a client may have signed instead of the Host header that arrived; never for another bucket."""
        tried = {sent}
        bucket = self.bucket_of(sent)
        names = [sent.lower()]
        for host in self._hosts:
            if bucket is not None:
                names.append(f"{bucket}.{host}")
            elif self.bucket_of(host) is None:
                names.append(host)
        for name in names:
            for variant in (name, *_port_variants(name)):
                if variant not in tried:
                    tried.add(variant)
                    yield variant


def without_port(host: str) -> str:
    """A host without its port; an IPv6 address keeps its brackets."""
    if host.endswith("]"):
        return host
    return host.rpartition(":")[0] if host.startswith("[") else host.partition(":")[0]


def _port_variants(host: str) -> tuple[str, ...]:
    """The same host with the default port added or taken away: clients differ in whether they send it."""
    for port in _DEFAULT_PORTS:
        if host.endswith(port):
            return (host.removesuffix(port),)
    if without_port(host) != host:
        return ()
    return tuple(host + port for port in _DEFAULT_PORTS)

"""Of `anbar doctor`: can the addresses be listened on, and is the certificate good?"""

import errno
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from gateway.cli.finding import Finding, Level
from gateway.config import Listen, Settings, Tls

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

SOON = timedelta(days=30)
_MOST_NAMES = 5


def check_tls(tls: Tls | None, now: datetime | None = None) -> Iterator[Finding]:
    """Can HTTPS be served with these files, for which names and until when? Nothing without `tls`."""
    from cryptography import x509

    from gateway.startup import TlsError, tls_context

    if tls is None:
        return
    try:
        tls_context(tls)
    except TlsError as error:
        yield Finding(Level.FAIL, "tls", str(error))
        return
    try:
        certificate = x509.load_pem_x509_certificate(tls.certificate.read_bytes())
        names = _names_of(certificate)
    except ValueError as error:
        yield Finding(Level.NOTE, "tls", f"{tls.certificate} is served, but its names and dates were not read: {error}")
        return
    level, validity = _validity(certificate, now or datetime.now(UTC))
    yield Finding(level, "tls", f"{tls.certificate}, {validity}, for {names}")


def _validity(certificate: "Certificate", now: datetime) -> tuple[Level, str]:
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now < begin:
        return Level.FAIL, f"not valid before {begin:%Y-%m-%d}"
    if now > end:
        return Level.FAIL, f"expired on {end:%Y-%m-%d}"
    return Level.NOTE if end - now <= SOON else Level.OK, f"valid until {end:%Y-%m-%d}"


def _names_of(certificate: "Certificate") -> str:
    """The hosts that a certificate is for; raises ValueError."""
    from cryptography import x509

    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return "no host: it has no subjectAltName"
    names = [*found.get_values_for_type(x509.DNSName), *map(str, found.get_values_for_type(x509.IPAddress))]
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def check_listeners(settings: Settings) -> Iterator[Finding]:
    """Can the addresses be listened on? A taken one is fine while the gateway of this very store serves."""
    from gateway.startup import is_serving

    server = settings.server
    serving = is_serving(settings.store.path)
    ours = (
        ("listen", server.listen),
        ("admin_listen", server.admin_listen),
        ("nginx listen", settings.nginx.listen),
    )
    for about, listen in ours:
        if listen is not None:
            yield _listener_finding(about, listen, serving)


def _listener_finding(about: str, listen: Listen, serving: bool) -> Finding:
    from gateway.startup import address_error

    try:
        _bind(listen)
    except (OSError, UnicodeError) as error:
        if getattr(error, "errno", None) != errno.EADDRINUSE:
            return Finding(Level.FAIL, about, f"{listen}: {address_error(error)}")
        if serving:
            return Finding(Level.OK, about, f"{listen}, in use by the running gateway")
        return Finding(Level.FAIL, about, f"{listen} is in use by another program")
    return Finding(Level.OK, about, f"{listen} is free")


def _bind(listen: Listen) -> None:
    [(family, kind, protocol, _, address), *_] = socket.getaddrinfo(
        listen.host, listen.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    with socket.socket(family, kind, protocol) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(1)

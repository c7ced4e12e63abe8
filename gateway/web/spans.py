"""The span of a request: what of an exchange goes into a trace."""

from collections.abc import Collection
from ipaddress import IPv4Network, IPv6Network

from gateway.traces import Begun, Traces
from gateway.web.client_address import is_trusted
from gateway.web.connection import Request
from gateway.web.exchange import Exchange

_FAILED = 500


def begin_span(traces: Traces, request: Request, trusted: Collection[IPv4Network | IPv6Network]) -> Begun:
    """A client could make us keep as many traces as it likes: only a trusted proxy's are gone on with."""
    parent: str | None = None
    if is_trusted(request.connection.peer, trusted):
        parent = next(
            (value.decode("latin-1") for name, value in request.fields if name.lower() == b"traceparent"), None
        )
    return traces.begin(parent)


def end_span(traces: Traces, begun: Begun, exchange: Exchange) -> None:
    """The request is over."""
    call, error = exchange.call, exchange.error
    attributes: dict[str, str | int] = {
        "http.request.method": exchange.request.method[:32],
        "http.response.status_code": exchange.status,
        "http.request.body.size": exchange.request.body.total_bytes,
        "http.response.body.size": exchange.sent,
        "anbar.operation": exchange.operation,
        "anbar.request_id": exchange.request_id,
    }
    if call is not None and call.found_bucket is not None:
        attributes["aws.s3.bucket"] = call.found_bucket.bucket
        attributes["anbar.project"] = call.found_bucket.project
    if error is not None:
        attributes["error.type"] = error.code.name
    failed = exchange.status >= _FAILED or (exchange.answer is not None and not exchange.is_whole)
    traces.end(begun, exchange.operation, attributes, failed=failed)

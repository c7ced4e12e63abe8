"""Traces for OpenTelemetry: a span for each request, and one within it for each answer of an origin.

https://opentelemetry.io/docs/specs/semconv/http/http-spans/
The packages are an extra and are imported only where traces are wanted; otherwise `current()` is None, and nothing is
done. Where spans go, how many of them and under which name say the standard's own environment variables, OTEL_*.
A span has no key, no query, no principal and no address.
"""

import os
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from contextvars import Token

    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

Attributes = Mapping[str, str | int]

_NAME: Final = "anbar"
_NS: Final = 1_000_000_000
_current: "Traces | None" = None


class TracesError(Exception):
    """Traces are wanted, and there is nothing to make them with."""


class Begun(NamedTuple):
    """A span that is the current one until it is ended."""

    span: "Span"
    token: "Token[Any]"


class Traces:
    """Makes spans; used from one loop."""

    def __init__(self, provider: "TracerProvider") -> None:
        from opentelemetry import context, trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer(_NAME)
        self._context = context
        self._trace = trace
        self._parents = TraceContextTextMapPropagator()

    def begin(self, traceparent: str | None) -> Begun:
        """A request's span; `traceparent` is that of a proxy whose word counts."""
        parent = self._parents.extract({"traceparent": traceparent}) if traceparent else self._context.Context()
        span = self._tracer.start_span("request", parent, self._trace.SpanKind.SERVER)
        return Begun(span, self._context.attach(self._trace.set_span_in_context(span)))

    def end(self, begun: Begun, name: str, attributes: Attributes, *, failed: bool) -> None:
        """The request is over."""
        self._context.detach(begun.token)
        begun.span.update_name(name)
        begun.span.set_attributes(dict(attributes))
        if failed:
            begun.span.set_status(self._trace.StatusCode.ERROR)
        begun.span.end()

    def origin_answered(self, origin: str, method: str, status: int, seconds: float) -> None:
        """An origin's answer has begun, so many seconds after its request."""
        now_ns = time.time_ns()
        span = self._tracer.start_span(
            f"origin {method}",
            kind=self._trace.SpanKind.CLIENT,
            start_time=now_ns - int(seconds * _NS),
            attributes={"anbar.origin": origin, "http.request.method": method, "http.response.status_code": status},
        )
        if status >= 400:
            span.set_status(self._trace.StatusCode.ERROR)
        span.end(now_ns)

    def origin_failed(self, origin: str, outcome: str) -> None:
        """There was no answer; an event in the request's own span."""
        self._trace.get_current_span().add_event("origin failed", {"anbar.origin": origin, "anbar.outcome": outcome})

    def close(self, timeout_s: float = 3.0) -> None:
        """Send what was not sent yet; what nobody takes in time is lost. Blocks."""
        ending = threading.Thread(target=self._provider.shutdown, name="traces-end", daemon=True)
        ending.start()
        ending.join(timeout_s)


def current() -> Traces | None:
    """None: nobody wants traces."""
    return _current


def use(traces: Traces | None) -> None:
    """From now on these are the process's traces."""
    global _current  # noqa: PLW0603  (origins are opened far from where this is decided)
    _current = traces


def open_traces(environment: Mapping[str, str] = os.environ) -> Traces:
    """Traces that go by OTLP over HTTP to where the environment says; raises TracesError."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise TracesError(
            "OpenTelemetry is not installed; run: pip install --require-hashes -r requirements-traces.txt"
        ) from error
    named = "OTEL_SERVICE_NAME" in environment or "service.name=" in environment.get("OTEL_RESOURCE_ATTRIBUTES", "")
    provider = TracerProvider(
        resource=Resource.create({} if named else {"service.name": _NAME}), shutdown_on_exit=False
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Traces(provider)

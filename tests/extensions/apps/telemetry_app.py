"""OpenTelemetry around a WSGI and an ASGI application; set up in a lifecycle hook, so once in each worker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from opentelemetry import trace
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware as AsgiMiddleware
from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware as WsgiMiddleware
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from plain import application, asgi_application

provider = TracerProvider()


class ToLog(SpanExporter):
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        for span in spans:
            if span.kind is trace.SpanKind.SERVER:
                print("span:", span.name, format(span.get_span_context().trace_id, "032x"), flush=True)
        return SpanExportResult.SUCCESS


def post_worker_init(worker: Any) -> None:
    provider.add_span_processor(BatchSpanProcessor(ToLog()))
    trace.set_tracer_provider(provider)


def worker_exit(worker: Any) -> None:
    provider.shutdown()


app = WsgiMiddleware(application)
asgi = AsgiMiddleware(asgi_application)

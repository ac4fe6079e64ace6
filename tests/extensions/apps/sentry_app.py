"""sentry-sdk around a WSGI and an ASGI application; what it would send goes to standard output."""

from typing import Any

import sentry_sdk
from plain import application, asgi_application
from sentry_sdk.integrations.asgi import SentryAsgiMiddleware
from sentry_sdk.integrations.wsgi import SentryWsgiMiddleware
from sentry_sdk.transport import Transport


class ToLog(Transport):
    def capture_envelope(self, envelope: Any) -> None:
        for item in envelope.items:
            event = item.payload.json
            for error in (event or {}).get("exception", {}).get("values", ()):
                print("sentry:", error["type"], event["request"]["url"].rpartition("/")[2], flush=True)


sentry_sdk.init(
    dsn="http://key@127.0.0.1:1/1", transport=ToLog, traces_sample_rate=1.0, auto_enabling_integrations=False
)


app = SentryWsgiMiddleware(application)
asgi = SentryAsgiMiddleware(asgi_application)

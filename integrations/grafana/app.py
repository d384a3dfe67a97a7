"""A guarded application whose metrics Prometheus reads on a port of their own."""

import logging
import os

from prometheus_client import start_http_server
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from restate_identity.asgi import RequestIdentityMiddleware
from restate_identity.telemetry import PrometheusObserver

logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO)


async def greet(request: Request) -> JSONResponse:
    return JSONResponse({"greeting": "Hello!"})


# The keys come from RESTATE_IDENTITY_KEYS or RESTATE_IDENTITY_KEYS_FILE.
app = RequestIdentityMiddleware(
    Starlette(routes=[Route("/invoke/Greeter/greet", greet)]), observer=PrometheusObserver()
)

# Use a separate port: an exempt path of the application would be open to anybody who reaches the service.
start_http_server(int(os.environ.get("METRICS_PORT", "9464")), os.environ.get("METRICS_HOST", "127.0.0.1"))

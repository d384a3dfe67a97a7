"""The applications as Lambda handlers. ``python -m tests.servers.frameworks.lambda_runtime PORT`` reads JSON events.

Each is guarded twice: ``outside``, where the guard verifies the event, and ``inside``, after an adapter of another
project has turned the event into a request.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socketserver
import sys
from collections.abc import Callable
from typing import Any

import restate
import serverless_wsgi
from apig_wsgi import make_lambda_handler
from mangum import Mangum

from restate_identity.aws_lambda import require_request_identity
from tests.servers.frameworks import asgi, wsgi
from tests.servers.frameworks.lifespan import started
from tests.servers.frameworks.routes import EXEMPTIONS, ran

Handler = Callable[[Any, Any], Any]

# Sanic and BlackSheep route on the raw path, and Mangum gives none.
_ON_MANGUM = ("starlette", "fastapi", "quart", "litestar", "falcon")


def _mangum(app: Any) -> Handler:
    # Their lifespan began with this process.
    return Mangum(app, lifespan="off")


def _serverless_wsgi(app: Any) -> Handler:
    def handler(event: Any, context: Any) -> Any:
        return serverless_wsgi.handle_request(app, event, context)

    return handler


def _sdk() -> Any:
    os.environ["AWS_LAMBDA_FUNCTION_NAME"] = "made for tests"
    try:
        return restate.app(asgi.services())
    finally:
        del os.environ["AWS_LAMBDA_FUNCTION_NAME"]


def _handlers() -> dict[str, Handler]:
    handlers: dict[str, Handler] = {}
    adapters: list[tuple[str, Callable[[Any], Handler], dict[str, Any], dict[str, dict[str, Any]]]] = [
        ("mangum", _mangum, {name: asgi.unguarded[name] for name in _ON_MANGUM}, asgi.APPS),
        ("apig-wsgi", make_lambda_handler, wsgi.unguarded, wsgi.APPS),
        ("serverless-wsgi", _serverless_wsgi, wsgi.unguarded, wsgi.APPS),
    ]
    for adapter, adapt, unguarded, guarded in adapters:
        for name, app in unguarded.items():
            for number, (exemption, paths) in enumerate(EXEMPTIONS.items()):
                outside = require_request_identity(adapt(app), verifier=asgi.VERIFIER, exempt_paths=paths)
                handlers[f"{adapter}-outside-{name} {number}"] = outside
                handlers[f"{adapter}-inside-{name} {number}"] = adapt(guarded[name][exemption])
    for number, paths in enumerate(EXEMPTIONS.values()):
        sdk = require_request_identity(_sdk(), verifier=asgi.VERIFIER, exempt_paths=paths)
        handlers[f"sdk-outside-restate {number}"] = sdk
    return handlers


class _Invocations(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            app, event = json.loads(line)
            self.wfile.write(json.dumps(ran if app is None else _invoked(app, event)).encode() + b"\n")


def _invoked(app: str, event: Any) -> tuple[int, str]:
    try:
        answer = HANDLERS[app](event, None)
    except Exception as failure:  # noqa: BLE001 (what an adapter cannot read)
        return 500, repr(failure)
    body = answer.get("body") or ""
    return answer["statusCode"], base64.b64decode(body).decode("latin-1") if answer.get("isBase64Encoded") else body


HANDLERS = _handlers()


def main() -> None:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    loop.run_until_complete(started([asgi.unguarded[name] for name in _ON_MANGUM if name != "starlette"]))
    socketserver.TCPServer.allow_reuse_address = True
    with socketserver.TCPServer(("127.0.0.1", int(sys.argv[1])), _Invocations) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()

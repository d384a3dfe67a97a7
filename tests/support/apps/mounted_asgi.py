"""Guarded ASGI applications whose views return their names; the header ``x-app`` selects one."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import litestar
import quart
from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from restate_identity.asgi import ASGIApp, Receive, RequestIdentityMiddleware, Scope, Send
from restate_identity.fastapi import RequestIdentity

KEYS = [os.environ["IDENTITY_KEY"]]
ROUTES = ("/", "/alive", "/secret", "/public/page", "/A/open", "/invoke/A/open", "/invoke/B/secret")


def is_open(path: str) -> bool:
    return path == "/alive" or path.startswith("/public/")


def _starlette() -> Any:
    def view(route: str) -> Callable[[Any], Any]:
        return lambda _: PlainTextResponse(f"ran {route}")

    return Starlette(routes=[Route(route, view(route)) for route in ROUTES])


def _fastapi() -> Any:
    site = FastAPI(dependencies=[Depends(RequestIdentity(identity_keys=KEYS, exempt_paths=is_open))])

    def add(route: str) -> None:
        @site.get(route, response_class=PlainTextResponse)
        def view() -> str:
            return f"ran {route}"

    for route in ROUTES:
        add(route)
    return site


def _quart() -> Any:
    site = quart.Quart("mounted")
    for route in ROUTES:
        site.add_url_rule(route, route, lambda route=route: f"ran {route}", methods=["GET"])
    return site


def _litestar() -> Any:
    def view(route: str) -> Any:
        @litestar.get(route, media_type="text/plain", sync_to_thread=False)
        def answer() -> str:
            return f"ran {route}"

        return answer

    return litestar.Litestar([view(route) for route in ROUTES], openapi_config=None)


def _guarded(site: ASGIApp) -> ASGIApp:
    return RequestIdentityMiddleware(site, identity_keys=KEYS, exempt_paths=is_open)


APPS: dict[bytes, ASGIApp] = {
    b"starlette": _guarded(_starlette()),
    b"fastapi-dependency": _fastapi(),
    b"quart": _guarded(_quart()),
    b"litestar": _guarded(_litestar()),
}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await APPS[dict(scope["headers"])[b"x-app"]](scope, receive, send)

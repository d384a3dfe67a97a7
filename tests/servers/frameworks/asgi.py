"""The ASGI frameworks, each guarded with each exemption; a request header selects the application."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import blacksheep
import falcon
import falcon.asgi
import litestar
import quart
import restate
import sanic
from blacksheep.server.routing import Router as BlackSheepRouter
from fastapi import APIRouter, Depends, FastAPI
from fastapi.responses import PlainTextResponse as FastAPIResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

import restate_identity.restate_sdk
from restate_identity import VerificationError, signed_path
from restate_identity.asgi import ASGIApp, Receive, RequestIdentityMiddleware, Scope, Send
from restate_identity.fastapi import RequestIdentity
from tests.servers.frameworks import django_project
from tests.servers.frameworks.lifespan import Lifespans
from tests.servers.frameworks.routes import (
    APP_HEADER,
    EXEMPTIONS,
    ONLY_THE_END,
    PATHS,
    PREFIX,
    SDK_HEALTH_CHECK,
    app_named,
    ends_in_health,
    own_verifier,
    ran,
    said,
)

METHODS: Any = ["GET", "POST"]  # each framework has a type of its own for it, as for its applications
VERIFIER = own_verifier()


def _starlette() -> Any:
    def endpoint(path: str) -> Callable[[Request], Awaitable[PlainTextResponse]]:
        async def answer(_request: Request) -> PlainTextResponse:
            return PlainTextResponse(said(path))

        return answer

    routes = [Route(path, endpoint(path), methods=METHODS) for path in PATHS]
    return Starlette(routes=[*routes, Mount(PREFIX, routes=routes)])


def _fastapi(*dependencies: Any) -> ASGIApp:
    app, router = FastAPI(openapi_url=None), APIRouter(dependencies=dependencies)

    def add(path: str) -> None:
        @router.api_route(path, methods=METHODS)
        async def answer() -> FastAPIResponse:
            return FastAPIResponse(said(path))

    for path in PATHS:
        add(path)
    app.include_router(router)
    app.include_router(router, prefix=PREFIX)
    return app


def _sanic() -> Any:
    app, blueprint = sanic.Sanic("one_path", configure_logging=False), sanic.Blueprint("mounted", url_prefix=PREFIX)

    def add(path: str, parent: Any, name: str) -> None:
        async def answer(_request: sanic.Request) -> sanic.HTTPResponse:
            return sanic.text(said(path))

        parent.add_route(answer, path, methods=METHODS, name=name)

    for number, path in enumerate(PATHS):
        add(path, app, f"plain{number}")
        add(path, blueprint, f"mounted{number}")
    app.blueprint(blueprint)
    return app


def _quart() -> Any:
    app, blueprint = quart.Quart(__name__), quart.Blueprint("mounted", __name__, url_prefix=PREFIX)

    def endpoint(path: str) -> Callable[[], Awaitable[str]]:
        async def answer() -> str:
            return said(path)

        return answer

    for number, path in enumerate(PATHS):
        for parent in (app, blueprint):
            parent.add_url_rule(path, f"handler{number}", endpoint(path), methods=METHODS)
    app.register_blueprint(blueprint)
    return app


def _litestar() -> Any:
    def endpoint(path: str) -> Any:
        @litestar.route(path, http_method=METHODS, media_type="text/plain", status_code=200)
        async def answer() -> str:
            return said(path)

        return answer

    handlers = [endpoint(path) for path in PATHS]
    mounted = litestar.Router(PREFIX, route_handlers=[endpoint(path) for path in PATHS])
    return litestar.Litestar([*handlers, mounted], openapi_config=None)


def _blacksheep() -> Any:
    router = BlackSheepRouter()
    app = blacksheep.Application(router=router)

    def endpoint(path: str) -> Callable[[], Awaitable[blacksheep.Response]]:
        async def answer() -> blacksheep.Response:
            return blacksheep.text(said(path))

        return answer

    for path in PATHS:
        for place in (path, PREFIX + path):
            for method in METHODS:
                router.add(method, place, endpoint(path))
    return app


class _Resource:
    def __init__(self, path: str) -> None:
        self._path = path

    async def on_post(self, _request: Any, response: Any) -> None:
        response.text = said(self._path)

    on_get = on_post


def _falcon() -> Any:
    app = falcon.asgi.App()
    for path in PATHS:
        for place in (path, PREFIX + path):
            app.add_route(place, _Resource(path))
    return app


def services() -> list[restate.Service]:
    services: dict[str, restate.Service] = {}
    for path in PATHS:
        if path.startswith("/invoke/"):
            service_name, name = path.split("/")[2:]
            service = services.setdefault(service_name, restate.Service(service_name))
            _add_handler(service, name, path)
    return list(services.values())


def _add_handler(service: restate.Service, name: str, path: str) -> None:
    @service.handler(name)
    async def answer(_context: restate.Context, _argument: Any) -> str:
        return said(path)


class _OnlyTheEnd:
    """A weak guard for the attacks to pass: it checks only the signed part of the path."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        try:
            if not ends_in_health(path):
                VERIFIER.verify(signed_path(path), scope["headers"])
        except VerificationError:
            await _answer(send, b"refused")
        else:
            await self._app(scope, receive, send)


def _guarded(app: ASGIApp) -> dict[str, ASGIApp]:
    guarded: dict[str, ASGIApp] = {
        exemption: RequestIdentityMiddleware(app, verifier=VERIFIER, exempt_paths=paths)
        for exemption, paths in EXEMPTIONS.items()
    }
    return {**guarded, ONLY_THE_END: _OnlyTheEnd(app)}


def _fastapi_dependency() -> dict[str, ASGIApp]:
    return {
        exemption: _fastapi(Depends(RequestIdentity(verifier=VERIFIER, exempt_paths=paths)))
        for exemption, paths in EXEMPTIONS.items()
    }


def _sdk() -> dict[str, ASGIApp]:
    own: Any = restate_identity.restate_sdk.app(services(), verifier=VERIFIER)
    return {**_guarded(restate.app(services())), SDK_HEALTH_CHECK: own}


unguarded: dict[str, ASGIApp] = {
    "starlette": _starlette(),
    "fastapi": _fastapi(),
    "sanic": _sanic(),
    "quart": _quart(),
    "litestar": _litestar(),
    "blacksheep": _blacksheep(),
    "falcon": _falcon(),
}
APPS: dict[str, dict[str, ASGIApp]] = {
    **{name: _guarded(app) for name, app in unguarded.items()},
    "fastapi-dependency": _fastapi_dependency(),
    "django-middleware": django_project.asgi_apps(),
    "django": _guarded(django_project.unguarded_asgi_app()),
    "restate": _sdk(),
}
_lifespans = Lifespans([unguarded[name] for name in ("sanic", "quart", "litestar", "blacksheep", "falcon")])
_APP_HEADER = APP_HEADER.encode()


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Hand a request to the application that it names, with its scope as the server made it."""
    if scope["type"] == "lifespan":
        await _lifespans(receive, send)
        return
    named = dict(scope["headers"]).get(_APP_HEADER)
    if named is None:
        await _answer(send, json.dumps(ran).encode())
        return
    framework, exemption = app_named(named.decode())
    await APPS[framework][exemption](scope, receive, send)


async def _answer(send: Send, body: bytes) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})

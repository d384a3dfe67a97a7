"""The WSGI frameworks, each guarded with each exemption; a request header selects the application."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import falcon
import flask

from restate_identity.wsgi import RequestIdentityMiddleware
from tests.servers.frameworks import django_project
from tests.servers.frameworks.routes import APP_HEADER, EXEMPTIONS, PATHS, PREFIX, app_named, own_verifier, ran, said

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

METHODS = ["GET", "POST"]
VERIFIER = own_verifier()


def _flask() -> WSGIApplication:
    app, blueprint = flask.Flask(__name__), flask.Blueprint("mounted", __name__, url_prefix=PREFIX)

    def endpoint(path: str) -> Callable[[], str]:
        def answer() -> str:
            return said(path)

        return answer

    for number, path in enumerate(PATHS):
        for parent in (app, blueprint):
            parent.add_url_rule(path, f"handler{number}", endpoint(path), methods=METHODS)
    app.register_blueprint(blueprint)
    return app


class _Resource:
    def __init__(self, path: str) -> None:
        self._path = path

    def on_post(self, _request: Any, response: Any) -> None:
        response.text = said(self._path)

    on_get = on_post


def _falcon() -> Any:
    app = falcon.App()
    for path in PATHS:
        for place in (path, PREFIX + path):
            app.add_route(place, _Resource(path))
    return app


def _guarded(app: WSGIApplication) -> dict[str, WSGIApplication]:
    return {
        exemption: RequestIdentityMiddleware(app, verifier=VERIFIER, exempt_paths=paths)
        for exemption, paths in EXEMPTIONS.items()
    }


unguarded: dict[str, WSGIApplication] = {"flask": _flask(), "falcon": _falcon()}
APPS: dict[str, dict[str, WSGIApplication]] = {
    **{name: _guarded(app) for name, app in unguarded.items()},
    "django-middleware": django_project.wsgi_apps(),
    "django": _guarded(django_project.unguarded_wsgi_app()),
}
_APP_VARIABLE = "HTTP_" + APP_HEADER.upper().replace("-", "_")


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Hand a request to the application that it names, with its environment as the server made it."""
    named = environ.get(_APP_VARIABLE)
    if named is None:
        start_response("200 OK", [("content-type", "application/json")])
        return [json.dumps(ran).encode()]
    framework, exemption = app_named(named)
    return APPS[framework][exemption](environ, start_response)

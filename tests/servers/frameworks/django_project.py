"""A Django project for WSGI and ASGI, behind the Django middleware or behind none."""

from __future__ import annotations

import os
from typing import Any

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import include, path

from tests.servers.frameworks.routes import EXEMPTIONS, PATHS, PREFIX, said

settings.configure(
    SECRET_KEY="made for tests",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=[],
    RESTATE_IDENTITY_KEYS=[os.environ["IDENTITY_KEY"]],
    LOGGING_CONFIG=None,
    USE_TZ=True,
)
django.setup()


def _view(name: str) -> Any:
    def view(_request: HttpRequest) -> HttpResponse:
        return HttpResponse(said(name))

    return view


_routes = [path(name.lstrip("/"), _view(name)) for name in PATHS]
urlpatterns = [*_routes, path(PREFIX.lstrip("/") + "/", include(_routes))]


def unguarded_asgi_app() -> Any:
    return get_asgi_application()


def unguarded_wsgi_app() -> Any:
    return get_wsgi_application()


def asgi_apps() -> dict[str, Any]:
    return {exemption: _guarded(get_asgi_application, paths) for exemption, paths in EXEMPTIONS.items()}


def wsgi_apps() -> dict[str, Any]:
    return {exemption: _guarded(get_wsgi_application, paths) for exemption, paths in EXEMPTIONS.items()}


def _guarded(make: Any, exempt_paths: Any) -> Any:
    # An application reads the settings when it is made.
    with override_settings(
        MIDDLEWARE=["restate_identity.django.RequestIdentityMiddleware"], RESTATE_IDENTITY_EXEMPT_PATHS=exempt_paths
    ):
        return make()

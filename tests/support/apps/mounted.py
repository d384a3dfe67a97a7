"""A guarded Flask application whose views return their names."""

from __future__ import annotations

import os

from flask import Flask

from restate_identity.wsgi import RequestIdentityMiddleware

site = Flask(__name__)
for route in ("/", "/alive", "/secret", "/public/page", "/A/open", "/invoke/A/open", "/invoke/B/secret"):
    site.add_url_rule(route, route, lambda route=route: f"ran {route}", methods=["GET"])


def is_open(path: str) -> bool:
    return path == "/alive" or path.startswith("/public/")


app = RequestIdentityMiddleware(site, identity_keys=[os.environ["IDENTITY_KEY"]], exempt_paths=is_open)

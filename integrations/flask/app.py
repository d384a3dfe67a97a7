"""A Flask application, guarded as a whole: the WSGI middleware wraps its WSGI application."""

import logging
import os

from flask import Flask, request

from restate_identity.wsgi import RequestIdentityMiddleware

logging.basicConfig(level=logging.INFO)
log = logging.getLogger("stock")

app = Flask(__name__)


@app.post("/invoke/Stock/take")
def take() -> dict[str, str]:
    item = request.get_json()["item"]
    log.info("taking one %s, signed by %s", item, request.environ["restate_identity"].key)
    return {"taken": item}


@app.get("/alive")
def alive() -> dict[str, str]:
    return {"status": "ok"}


app.wsgi_app = RequestIdentityMiddleware(  # type: ignore[method-assign]
    app.wsgi_app, identity_keys=[os.environ["RESTATE_IDENTITY_KEY"]], exempt_paths=["/alive"]
)

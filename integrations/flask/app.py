"""A Flask application, guarded as a whole: the WSGI middleware wraps its WSGI application."""

import logging

from flask import Flask, request

from restate_identity.wsgi import RequestIdentityMiddleware

logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO)
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


# The keys come from RESTATE_IDENTITY_KEYS; without them the application does not start.
app.wsgi_app = RequestIdentityMiddleware(app.wsgi_app, exempt_paths=["/alive"])  # type: ignore[method-assign]

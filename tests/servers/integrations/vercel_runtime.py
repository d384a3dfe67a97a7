"""Load and serve a file as Vercel's Python runtime does. Run it in the project's folder, with a port.

It imports the file by its path; takes the variable ``app``; and serves it as ASGI if it is, or has in ``__call__``, a
coroutine function of three parameters. With two parameters it would serve it as WSGI.

Source: the package ``vercel-runtime`` 0.24, which itself needs Python 3.12; its modules ``resolver`` and ``vc_init``.
"""

from __future__ import annotations

import inspect
import logging
import sys
from importlib.util import module_from_spec, spec_from_file_location
from typing import Any

import uvicorn

ENTRYPOINT = "api/index.py"


def load() -> Any:
    spec = spec_from_file_location("api.index", ENTRYPOINT)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    app = module.app
    required = [p for p in inspect.signature(app).parameters.values() if p.default is p.empty]
    is_async = inspect.iscoroutinefunction(app) or inspect.iscoroutinefunction(app.__call__)
    assert is_async, "not an ASGI application"
    assert len(required) == 3, "not an ASGI application"
    return app


if __name__ == "__main__":
    # Before the import of the file, as the runtime does.
    logging.basicConfig(level=logging.INFO)
    uvicorn.run(load(), host="127.0.0.1", port=int(sys.argv[1]), lifespan="off")

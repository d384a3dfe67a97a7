"""Finding an ASGI application by its name, MODULE:APP."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from restate_identity._redaction import shown
from restate_identity.cli.complaints import fail


def find_application(name: str) -> Any:
    """Return the object ``module:attribute``, as uvicorn finds it: from the working directory, too."""
    module_name, _, attributes = name.partition(":")
    if not all(part.isidentifier() for dotted in (module_name, attributes) for part in dotted.split(".")):
        fail(f"name the application as MODULE:APP, for instance app:app, and not {shown(name)!r}")
    sys.path.insert(0, str(Path.cwd()))
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        fail(f"there is no module {shown(error.name)!r} here, nor among what is installed")
    for attribute in attributes.split("."):
        found = getattr(found, attribute, None)
    if not callable(found):
        fail(f"{shown(module_name)} has no ASGI application {shown(attributes)!r}")
    return found

"""Find an ASGI application by its name, MODULE:APP."""

from __future__ import annotations

import importlib
import sys
import traceback
from pathlib import Path
from typing import Any

from restate_identity._redaction import shown
from restate_identity._regular_file import shown_path
from restate_identity.cli.complaints import fail


def find_application(name: str) -> Any:
    """Return the object that *name*, ``module:attribute``, refers to. Like uvicorn, look in the working directory."""
    module_name, _, attributes = name.partition(":")
    if not all(part.isidentifier() for dotted in (module_name, attributes) for part in dotted.split(".")):
        fail(f"the application must be MODULE:APP, for instance app:app, not {shown(name)!r}")
    sys.path.insert(0, str(Path.cwd()))
    found = _imported(module_name)
    for attribute in attributes.split("."):
        found = getattr(found, attribute, None)
    if not callable(found):
        fail(f"{shown(module_name)} has no ASGI application {shown(attributes)!r}")
    return found


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:  # noqa: BLE001 (a module can raise anything)
        if isinstance(error, ModuleNotFoundError) and error.name and f"{name}.".startswith(f"{error.name}."):
            fail(f"there is no module {shown(error.name)!r}, neither here nor among the installed packages")
        # The text of an exception may have several lines, and may quote a secret.
        text = error.msg if isinstance(error, SyntaxError) else str(error)
        told = shown(" ".join(text.split()))
        fail(f"cannot import {shown(name)}: {type(error).__name__}{told and ': '}{told}{_place(error)}")


def _place(error: BaseException) -> str:
    """Return the application's file and line where *error* was raised, in parentheses."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({shown_path(error.filename)}, line {error.lineno})"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<frozen")]
    # The first frames belong to the import in this module.
    own = [frame for frame in frames if frame.filename not in (__file__, importlib.__file__)]
    return f" ({shown_path(own[-1].filename)}, line {own[-1].lineno})" if own else ""

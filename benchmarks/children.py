"""Talk to child processes in lines of JSON."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from typing import Any


def ask(child: subprocess.Popen[str], command: Mapping[str, object], *, ended: Exception) -> Any:
    """Send *command* to *child* as a line of JSON, and return its answer; raise *ended* if the child is gone."""
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(json.dumps(command) + "\n")
    child.stdin.flush()
    line = child.stdout.readline()
    if not line:
        raise ended
    return json.loads(line)

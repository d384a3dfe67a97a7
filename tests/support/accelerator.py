"""The accelerator as ``make accelerator`` builds it: for child processes alone, because it changes every check."""

from __future__ import annotations

import os

from tests.support import ROOT

SITE = ROOT / "build" / "accelerator" / "site"
IS_BUILT = SITE.is_dir()


def environment() -> dict[str, str]:
    """Return the environment of a process that finds the accelerator."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join((str(SITE), str(ROOT)))}

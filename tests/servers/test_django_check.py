"""Django's system checks, as its own command runs them in a project."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from restate_identity.signing import RequestSigner
from tests.support import ROOT

KEY = str(RequestSigner.generate().public_key)


def manage_check(tmp_path: Path, key: str, extra: str = "") -> subprocess.CompletedProcess[str]:
    """Run Django's own check command on the tests' project, as ``manage.py check`` does."""
    (tmp_path / "more_settings.py").write_text(f"from tests.support.apps.django_settings import *\n{extra}\n")
    env = {**os.environ, "IDENTITY_KEY": key, "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])}
    command = [sys.executable, "-m", "django", "check", "--settings=more_settings", "--fail-level=WARNING"]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize(
    ("key", "extra", "found"),
    [
        (KEY, "", None),
        ("publickeyv1_nonsense", "", "restate_identity.E001"),
        (KEY, "del RESTATE_IDENTITY_KEYS", "restate_identity.E001"),
        (KEY, "RESTATE_IDENTITY_EXEMPT_PATHS = '/health'", "restate_identity.E001"),
        (KEY, "MIDDLEWARE = []", "restate_identity.W001"),
        (KEY, "MIDDLEWARE.insert(0, 'django.middleware.common.CommonMiddleware')", "restate_identity.W002"),
        (KEY, "MIDDLEWARE.append('django.middleware.common.CommonMiddleware')", None),
        (KEY, "MIDDLEWARE[:] = ['a.First', *MIDDLEWARE, 'z.Last']", None),
        (KEY, "RESTATE_IDENTITY_KEYS_FILE = '/etc/restate/keys'", "restate_identity.W003"),
        (KEY, "RESTATE_IDENTITY_EXEMPT_PATH = ['/alive']", "RESTATE_IDENTITY_EXEMPT_PATH is no setting"),
    ],
)
def test_the_system_checks_report_a_mistake(tmp_path: Path, key: str, extra: str, found: str | None) -> None:
    outcome = manage_check(tmp_path, key, extra)
    if found is None:
        assert outcome.returncode == 0, outcome.stderr
    else:
        assert outcome.returncode != 0
        assert (f"({found}) " if found.startswith("restate_identity.") else found) in outcome.stderr

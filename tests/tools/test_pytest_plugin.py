"""The pytest plugin in a project of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.support import ROOT

PAGE = ROOT / "docs" / "testing.md"

USERS_TEST = """
def test_of_a_user(signed_headers):
    assert signed_headers("/a")["x-restate-signature-scheme"] == "v1"

def test_without_the_fixtures():
    assert True
"""


def users_run(
    folder: Path, *, missing: tuple[str, ...] = (), test: str = USERS_TEST
) -> subprocess.CompletedProcess[str]:
    (folder / "test_users.py").write_text(test)
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    hide = "".join(f"sys.modules['{name}'] = None; " for name in missing)
    code = f"import sys; {hide}import pytest; sys.exit(pytest.main(['-p', 'no:cacheprovider', '-q']))"
    argv = [sys.executable, "-c", code]
    return subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def test_in_a_project_of_its_own_the_fixtures_are_just_there(tmp_path: Path) -> None:
    done = users_run(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_without_the_extra_only_tests_that_use_the_fixtures_fail_and_say_what_to_install(tmp_path: Path) -> None:
    done = users_run(tmp_path, missing=("jwt", "cryptography"))
    assert "1 passed, 1 error" in done.stdout
    assert "pip install 'restate-identity[testing]'" in done.stdout


def test_the_example_in_the_docs_works_as_it_stands(tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), flags=re.DOTALL)
    done = users_run(tmp_path, test=example)
    assert "3 passed" in done.stdout, done.stdout + done.stderr

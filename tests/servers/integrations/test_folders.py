"""Every folder in ``integrations/`` has the same basic files."""

from __future__ import annotations

from importlib.metadata import metadata, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.servers.integrations.serving import INTEGRATIONS

FOLDERS = sorted(path.name for path in INTEGRATIONS.iterdir() if path.is_dir() and not path.name.startswith((".", "_")))
REQUIREMENTS = sorted(INTEGRATIONS.rglob("requirements.txt"))
SCREEN = 40


def _name(path: Path) -> str:
    return str(path.relative_to(INTEGRATIONS))


@pytest.mark.parametrize("folder", FOLDERS)
def test_it_has_a_test_and_instructions_that_fit_on_a_screen(folder: str) -> None:
    assert (Path(__file__).parent / f"test_{folder}.py").is_file()
    assert len((INTEGRATIONS / folder / "README.md").read_text().splitlines()) <= SCREEN


# The proxies are other programs, and nothing of Python runs in them.
@pytest.mark.parametrize("folder", [folder for folder in FOLDERS if folder != "proxies"])
def test_it_says_what_to_install(folder: str) -> None:
    assert any(path.is_relative_to(INTEGRATIONS / folder) for path in REQUIREMENTS)


@pytest.mark.parametrize("path", REQUIREMENTS, ids=_name)
def test_the_requirements_allow_the_versions_that_these_tests_run_with(path: Path) -> None:
    for line in path.read_text().splitlines():
        requirement = Requirement(line)
        assert requirement.specifier.contains(version(requirement.name)), line
        assert requirement.extras <= set(metadata(requirement.name).get_all("Provides-Extra") or ()), line

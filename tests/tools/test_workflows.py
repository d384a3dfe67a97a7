"""Check in the workflows what zizmor, which `make check` runs, does not: they cannot run here."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tests.support import ROOT

FILES = sorted((ROOT / ".github" / "workflows").iterdir())
TEXTS = {file.name: file.read_text("utf-8") for file in FILES}
WORKFLOWS: dict[str, dict[Any, Any]] = {name: yaml.safe_load(text) for name, text in TEXTS.items()}
JOBS = [
    pytest.param(job, id=f"{name}:{key}")
    for name, workflow in WORKFLOWS.items()
    for key, job in workflow["jobs"].items()
]
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")

by_file = pytest.mark.parametrize("name", WORKFLOWS)
by_job = pytest.mark.parametrize("job", JOBS)


@by_job
def test_a_job_may_read_the_sources_or_say_who_it_is_and_never_both(job: dict[str, Any]) -> None:
    assert job["permissions"] in ({"contents": "read"}, {"id-token": "write"})


@by_job
def test_a_job_that_can_publish_waits_for_approval_and_runs_no_code_of_the_repository(job: dict[str, Any]) -> None:
    if job["permissions"] != {"id-token": "write"}:
        assert "environment" not in job
        return
    assert job["environment"] == "release"
    assert "build" in job["needs"]
    for step in job["steps"]:
        assert "run" not in step
        assert not step["uses"].startswith(("actions/checkout@", "./"))


@by_job
def test_a_job_ends_in_time_on_a_machine_that_is_named(job: dict[str, Any]) -> None:
    assert 0 < job["timeout-minutes"] < 360  # which is GitHub's own limit
    assert not job["runs-on"].endswith("-latest")


@by_file
def test_an_action_is_pinned_by_its_whole_commit_with_the_version_beside_it(name: str) -> None:
    for line in re.findall(r"^.*\buses:.*$", TEXTS[name], flags=re.MULTILINE):
        assert re.search(r"uses: [\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line


def test_an_action_is_the_same_commit_wherever_it_is_used() -> None:
    pins = {pin for text in TEXTS.values() for pin in re.findall(r"uses: (\S+@\S+ # \S+)", text)}
    assert len(pins) == len({pin.partition("@")[0] for pin in pins}), pins


@by_job
def test_a_command_is_a_target_of_the_makefile(job: dict[str, Any]) -> None:
    for step in job["steps"]:
        for target in re.findall(r"\bmake ([\w-]+)", step.get("run", "")):
            assert re.search(rf"^{target}:.* ## ", MAKEFILE, flags=re.MULTILINE), target


def test_mutation_is_run_in_parts_that_are_together_the_whole() -> None:
    parts = WORKFLOWS["scheduled.yml"]["jobs"]["mutation"]["strategy"]["matrix"]["part"]
    assert parts == [f"{number}/{len(parts)}" for number in range(1, len(parts) + 1)]


def test_every_python_that_nox_tries_is_tried_and_every_one_that_is_promised() -> None:
    tried = WORKFLOWS["ci.yml"]["jobs"]["test"]["strategy"]["matrix"]["python"]
    [listed] = re.findall(r"^PYTHONS = \((.*)\)$", (ROOT / "noxfile.py").read_text("utf-8"), flags=re.MULTILINE)
    assert re.findall(r"\d\.\d+", listed) == tried
    promised = re.findall(r"Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text("utf-8"))
    assert promised
    assert set(promised) <= set(tried)


def test_each_step_of_the_local_run_is_a_step_of_continuous_integration() -> None:
    local = re.findall(r"^make ([\w-]+)", (ROOT / ".ci" / "run").read_text("utf-8"), flags=re.MULTILINE)
    steps = re.findall(r"run: make ([\w-]+)", TEXTS["ci.yml"])
    assert local
    assert set(local) == set(steps)

"""Test the wheel (`make pythons`) or run all tests, on every supported Python that is installed."""

from __future__ import annotations

from pathlib import Path

import nox

from tests.support.runtime_requirements import runtime_requirements

PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")

nox.options.default_venv_backend = "uv|venv"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = False  # also in continuous integration, where each job has only one
nox.options.sessions = ["wheel"]


@nox.session(python=PYTHONS)
def wheel(session: nox.Session) -> None:
    """Check that the wheel of `make dist` works with the runtime dependencies alone."""
    wheels = list(Path("dist").glob("*.whl"))
    if len(wheels) != 1:
        session.error("there must be one wheel in dist/: run make dist first")
    requirements = Path(session.create_tmp()) / "runtime.txt"
    requirements.write_text(runtime_requirements(), "utf-8")
    session.install("--require-hashes", "--requirement", str(requirements))
    session.install("--no-deps", "--no-index", str(wheels[0]))
    session.run("python", "-I", "-W", "error", "tests/tools/wheel_smoke.py")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run all tests, or those named after two dashes, with the locked versions."""
    session.install("--require-hashes", "--requirement", "requirements/dev.txt")
    session.install("--no-deps", "--no-build-isolation", "--editable", ".")
    session.run("python", "-m", "pytest", *session.posargs)

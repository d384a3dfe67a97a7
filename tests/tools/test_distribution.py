"""The files to upload: the wheel and the sdist built from this tree, and the wheel in a separate environment."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import NamedTuple
from zipfile import ZipFile

import pytest

import restate_identity
from tests.support import ROOT
from tests.support.runtime_requirements import NAMES, runtime_requirements

SMOKE = Path(__file__).parent / "wheel_smoke.py"


class Built(NamedTuple):
    """What one build made."""

    wheel: Path
    sdist: Path
    wheel_of_the_tree: Path


def run(*command: str | Path, cwd: Path = ROOT, **environment: str) -> str:
    done = subprocess.run(
        command, cwd=cwd, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The two files as `make dist` makes them, and the wheel without the detour by the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    date = run("git", "log", "-1", "--format=%ct").strip()
    for kind in ("both", "--wheel"):
        options = () if kind == "both" else (kind,)
        command = (sys.executable, "-m", "build", "--no-isolation", *options, "--outdir", folder / kind)
        run(*command, SOURCE_DATE_EPOCH=date)
    [wheel], [sdist] = ((folder / "both").glob(pattern) for pattern in ("*.whl", "*.tar.gz"))
    return Built(wheel, sdist, folder / "--wheel" / wheel.name)


def tracked(*paths: str) -> set[str]:
    return set(run("git", "ls-files", *paths).splitlines())


def metadata_of(wheel: Path) -> Message:
    with ZipFile(wheel) as opened:
        [name] = (name for name in opened.namelist() if name.endswith("/METADATA"))
        return message_from_bytes(opened.read(name))


def test_the_wheel_holds_the_package_as_git_has_it_and_its_metadata_and_nothing_else(built: Built) -> None:
    with ZipFile(built.wheel) as wheel:
        names = set(wheel.namelist())
    metadata = f"restate_identity-{restate_identity.__version__}.dist-info"
    described = {
        f"{metadata}/{name}" for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")
    }
    assert names == tracked("restate_identity") | described


def test_the_wheel_holds_the_bytes_that_were_tested(built: Built) -> None:
    with ZipFile(built.wheel) as wheel:
        for name in tracked("restate_identity"):
            assert wheel.read(name) == (ROOT / name).read_bytes(), name


def test_the_sdist_builds_the_same_wheel_as_the_tree_to_the_byte(built: Built) -> None:
    assert built.wheel.read_bytes() == built.wheel_of_the_tree.read_bytes()


def test_the_sdist_holds_the_package_what_builds_it_and_what_one_reads_first(built: Built) -> None:
    with tarfile.open(built.sdist) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    beside = {".gitignore", "CHANGELOG.md", "LICENSE", "PKG-INFO", "README.md", "SECURITY.md", "pyproject.toml"}
    assert names == tracked("restate_identity") | beside


def test_the_wheel_asks_for_two_packages_and_the_rest_is_in_extras(built: Built) -> None:
    requirements = metadata_of(built.wheel).get_all("Requires-Dist")
    assert requirements is not None
    runtime = [line for line in requirements if "extra ==" not in line]
    assert {line.partition(">")[0] for line in runtime} == {"base58", "pynacl"}
    # Older ones accept keys of mixed order (CVE-2025-69277).
    assert "pynacl>=1.6.2; sys_platform != 'emscripten'" in runtime


def test_the_description_for_the_package_index_is_the_readme_without_links_to_files(built: Built) -> None:
    metadata = metadata_of(built.wheel)
    description = metadata.get_payload()
    assert isinstance(description, str)
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert description.startswith("# restate-identity")
    assert "| Flask, any WSGI application | `restate_identity.wsgi.RequestIdentityMiddleware` | flask |" in description
    assert re.findall(r"\]\((?!https:)", description) == []


def test_the_extra_of_the_edge_has_what_its_command_needs(built: Built) -> None:
    requirements = metadata_of(built.wheel).get_all("Requires-Dist")
    needed = {
        extra: {line.partition(";")[0] for line in requirements or [] if f"extra == '{extra}'" in line}
        for extra in ("cli", "edge")
    }
    assert needed["cli"]
    assert needed["cli"] < needed["edge"] or "restate-identity[cli]" in needed["edge"]


def test_the_lock_has_every_runtime_dependency_with_hashes() -> None:
    lines = runtime_requirements().splitlines()
    pinned = {line.partition("==")[0] for line in lines if not line.startswith(" ")}
    assert pinned == NAMES
    assert all(line.startswith("    --hash=sha256:") or "==" in line for line in lines)


def test_the_wheel_works_with_the_runtime_dependencies_alone(built: Built, tmp_path: Path) -> None:
    requirements = tmp_path / "runtime.txt"
    requirements.write_text(runtime_requirements(), "utf-8")
    environment = tmp_path / "environment"
    python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    pip: tuple[str | Path, ...]
    target: tuple[str | Path, ...]
    if uv := shutil.which("uv"):
        run(uv, "venv", "--quiet", "--python", sys.executable, environment)
        pip, target = (uv, "pip"), ("--python", python)
    else:
        run(sys.executable, "-m", "venv", "--without-pip", environment)
        pip, target = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python), ()
    run(*pip, "install", *target, "--quiet", "--require-hashes", "--requirement", requirements)
    run(*pip, "install", *target, "--quiet", "--no-deps", "--no-index", built.wheel)
    run(*pip, "check", *target)
    said = run(python, "-I", "-W", "error", SMOKE, cwd=tmp_path)
    assert "the core and the ASGI, WSGI and Lambda adapters work" in said

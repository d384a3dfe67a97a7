"""Execute every snippet and every command of the README and of ``docs/``, here or in a test that is named here.

The blocks of a page run in order, in a separate folder:

- a ``python`` block whose first line is ``# name.py`` is saved under that name; other ``python`` blocks are executed in
  one namespace for the page, which begins with the names that `given` returns;
- ``shell`` blocks must succeed, and print the ``text`` block that follows directly; ``console`` blocks run command by
  command and must print the shown output. Parts that differ from run to run are left out of the comparison. All
  commands of a page run in one bash session, with its variables and jobs;
- blocks in other languages are not code. `KNOWN` lists these languages, so that a new one is noticed.

The instructions of ``integrations/``, which pages include, are for a platform. `PLATFORM_COMMANDS` names the test that
runs each command, and `NEEDS` says what the others need.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from importlib.metadata import metadata
from pathlib import Path
from textwrap import dedent
from typing import Any, NamedTuple

import pytest
import restate

from restate_identity.signing import RequestSigner
from tests.support import ROOT
from tests.support.console import without_what_varies
from tests.support.processes import PATH, free_port, started

PAGES = ["README.md", *sorted(str(page.relative_to(ROOT)) for page in (ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(
    r"^(?P<indent> *)(?P<fence>`{3,})(?P<language>\S*)[^\n]*\n(?P<code>.*?)^(?P=indent)(?P=fence)$",
    re.MULTILINE | re.DOTALL,
)
RUN = ("python", "shell", "console")
KNOWN = (*RUN, "text", "yaml", "json", "toml", "{toctree}", "{include}", "{literalinclude}", "{eval-rst}")
TIMEOUT = 120.0

SIGNER = RequestSigner.generate()
KEY = str(SIGNER.public_key)


class Block(NamedTuple):
    page: str
    language: str
    code: str
    prints: str | None = None
    """The ``text`` block that follows without a word in between."""


def blocks_of(page: str) -> list[Block]:
    text = (ROOT / page).read_text("utf-8")
    blocks = []
    for found in FENCE.finditer(text):
        follows = FENCE.match(text, pos=found.end() + 2)
        prints = follows["code"] if follows and follows["language"] == "text" else None
        blocks.append(Block(page, found["language"], dedent(found["code"]), prints))
    return blocks


BLOCKS = [block for page in PAGES for block in blocks_of(page)]

# Blocks that another test executes: the page, the language, the beginning of the block (or "" for any), and that test.
ELSEWHERE = [
    ("README.md", "python", "", "tests/docs/test_readme.py::test_the_restate_service_is_guarded"),
    ("README.md", "shell", "make demo", "tests/tools/test_demo.py::test_the_demo_shows_every_reason_and_succeeds"),
    ("docs/operating.md", "python", "", "tests/docs/test_operating.py::test_the_snippets_run"),
    (
        *("docs/tunnel.md", "python", ""),
        "tests/tunnel/test_documentation.py::test_the_snippet_connects_and_prints_what_to_register",
    ),
    (
        *("docs/tunnel-client.md", "shell", "docker "),
        "tests/tunnel/client/test_documentation.py::test_the_documented_line_is_a_complete_configuration",
    ),
    *(
        ("docs/encryption.md", "python", beginning, f"tests/encryption/test_documentation.py::{name}")
        for beginning, name in (
            ("import asyncio\n\nimport restate\n", "test_the_service_is_called_with_curl"),
            ("", "test_the_other_snippets_run"),
        )
    ),
    *(
        ("docs/encryption.md", "shell", beginning, f"tests/encryption/test_documentation.py::{name}")
        for beginning, name in (
            ("pip install", "folder"),
            ("echo", "test_the_service_is_called_with_curl"),
            ("(umask", "test_the_codec_server_is_called_with_curl"),
        )
    ),
    (
        "docs/testing.md",
        "python",
        "",
        "tests/tools/test_pytest_plugin.py::test_the_example_in_the_docs_works_as_it_stands",
    ),
    (
        *("docs/command-line.md", "console", ""),
        "tests/docs/test_command_line_docs.py::test_every_command_of_the_page_prints_what_the_page_shows",
    ),
    (
        "docs/command-line.md",
        "shell",
        'eval "$(_REST',
        "tests/tools/test_command_line.py::test_shells_get_a_completion",
    ),
    # The bash session runs in the virtual environment of the tests.
    ("docs/tutorial.md", "shell", "python3 -m venv", "tests/docs/test_snippets.py::environment"),
    # 216 MB. The bash session gets the same package, which npm installed for the demo.
    (
        "docs/tutorial.md",
        "shell",
        "npm install",
        "tests/docs/test_snippets.py::test_the_server_of_the_tutorial_is_the_demos",
    ),
]


# The beginning of each command in the instructions of a platform, and the test that runs it or does the same.
PLATFORM_COMMANDS = {
    "pip install -r requirements.txt": (
        "tests/servers/integrations/test_folders.py::test_the_requirements_allow_the_versions_that_these_tests_run_with"
    ),
    "export ": "tests/servers/integrations/serving.py::__call__",
    "restate deployments register": "tests/support/restate_server.py::register",
    "python -m hypercorn": "tests/servers/integrations/test_restate_sdk.py::served",
    "python manage.py check": (
        "tests/servers/integrations/test_django.py::test_the_system_checks_are_content_with_the_project"
    ),
    "gunicorn shop.wsgi:application": "tests/servers/integrations/test_stock.py::served",
    "uvicorn shop.asgi:application": "tests/servers/integrations/test_stock.py::served",
    "gunicorn app:app": "tests/servers/integrations/test_stock.py::served",
    "waitress-serve": "tests/servers/integrations/test_stock.py::served",
    "uvicorn app:app": "tests/servers/integrations/test_fastapi.py::served",
    "hypercorn --bind": "tests/servers/integrations/test_fastapi.py::served",
    **dict.fromkeys(
        ("curl ", "restate-identity sign", "  curl "), "tests/servers/integrations/serving.py::calls_of_the_readme"
    ),
    "restate-identity probe": "tests/servers/integrations/test_proxies.py::test_the_probe_finds_nothing",
    "python app.py": "tests/tunnel/command.py::started",
    "restate-identity tunnel app:app": "tests/tunnel/test_command.py::tunnel",
    **dict.fromkeys(
        ("nginx -s", "caddy run", "traefik --configFile", "envoy --config-path", "haproxy -f"),
        "tests/support/proxies.py::proxied",
    ),
    **dict.fromkeys(
        ("restate-identity encryption", "  restate-identity encryption", "echo "),
        "tests/servers/integrations/test_encryption.py::test_the_commands_of_the_readme_call_it_with_local_keys",
    ),
    "restate-identity edge --behind nginx": "tests/support/edge_command.py::edge",
}
# Commands that cannot run here, and why. The files that they use are tested nevertheless.
NEEDS = {
    "sam ": "an AWS account; tests/servers/integrations/test_aws_lambda.py checks the template and runs the function",
    "vercel ": "an account; tests/servers/integrations/test_vercel.py serves the application as Vercel does",
    "kubectl ": "a cluster; tests/servers/integrations/test_kubernetes.py checks the manifests against the options",
    "docker compose": "a Docker daemon; tests/servers/integrations/test_tunnel_client.py follows the files without one",
    "docker ": "a Docker daemon; tests/servers/integrations/test_docker.py follows the Dockerfile without one",
    "(umask": "a key to paste; tests/servers/integrations/test_tunnel_client.py gives the command one",
    "sudo chown": "root; tests/servers/integrations/test_tunnel_client.py compares the user with the image's",
    "prometheus ": "Prometheus; tests/servers/integrations/test_grafana.py reads metrics, rules and dashboard",
}
INCLUDED = sorted(
    str((ROOT / page).parent.joinpath(name).resolve().relative_to(ROOT))
    for page in PAGES
    for name in re.findall(r"^```\{include\} (\S*integrations/\S+)$", (ROOT / page).read_text("utf-8"), re.MULTILINE)
)


def is_elsewhere(block: Block) -> bool:
    return any(block[:2] == (page, language) and block.code.startswith(start) for page, language, start, _ in ELSEWHERE)


HERE = [block for block in BLOCKS if block.language in RUN and not is_elsewhere(block)]


def pages_with(*languages: str) -> list[str]:
    return list(dict.fromkeys(block.page for block in HERE if block.language in languages))


# --- nothing is left out


def test_every_block_is_of_a_known_language() -> None:
    assert {block.language for block in BLOCKS} <= set(KNOWN)
    assert len(HERE) > 10


def test_no_fence_is_left_open_and_none_is_of_another_kind() -> None:
    for page in PAGES:
        rest = FENCE.sub("", (ROOT / page).read_text("utf-8"))
        assert "```" not in rest
        assert not re.search(r"^(~~~|    \$ )", rest, re.MULTILINE), page


@pytest.mark.parametrize(("page", "language", "start", "test"), ELSEWHERE)
def test_what_is_executed_elsewhere_is_there_and_so_is_the_test(
    page: str, language: str, start: str, test: str
) -> None:
    assert any(block[:2] == (page, language) and block.code.startswith(start) for block in BLOCKS)
    file, _, name = test.partition("::")
    assert f"def {name}(" in (ROOT / file).read_text("utf-8")


def test_every_extra_that_a_page_tells_to_install_exists() -> None:
    named = {
        extra
        for page in PAGES
        for extras in re.findall(r"restate-identity\[([\w,]+)\]", (ROOT / page).read_text("utf-8"))
        for extra in extras.split(",")
    }
    assert named
    assert named <= set(metadata("restate-identity").get_all("Provides-Extra") or ())


@pytest.mark.parametrize("readme", INCLUDED)
def test_every_command_of_a_platform_is_run_by_a_test_or_needs_the_platform(readme: str) -> None:
    commands = [line for block in blocks_of(readme) if block.language == "sh" for line in block.code.splitlines()]
    assert commands
    for command in commands:
        assert command.startswith((*PLATFORM_COMMANDS, *NEEDS)), command
    assert {block.language for block in blocks_of(readme)} <= {"sh", "python"}
    python = [block.code for block in blocks_of(readme) if block.language == "python"]
    # The only snippet has its own test.
    assert not python or readme == "integrations/starlette_any_app/README.md"


def test_every_target_of_make_that_is_told_of_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for page in ("README.md", "CONTRIBUTING.md", *INCLUDED):
        named = re.findall(r"^make ([a-z-]+)", "".join(block.code for block in blocks_of(page)), re.MULTILINE)
        assert set(named) <= targets, page


@pytest.mark.parametrize("test", [*PLATFORM_COMMANDS.values(), *re.findall(r"tests/\S+\.py", " ".join(NEEDS.values()))])
def test_what_runs_the_commands_of_the_platforms_is_there(test: str) -> None:
    file, _, name = test.partition("::")
    text = (ROOT / file).read_text("utf-8")
    assert not name or f"def {name}(" in text


# --- Python


async def _application(*_: object) -> None:
    """Stand in for the reader's own application."""


def given() -> dict[str, Any]:
    """Return the names that snippets may use: the reader's application and service, and the headers of a request."""
    headers = SIGNER.headers("/invoke/Counter/add", subject="alice")
    return {"app": _application, "greeter": restate.Service("Greeter"), "headers": headers}


@pytest.mark.parametrize("page", pages_with("python"))
def test_the_python_of_the_page_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RESTATE_IDENTITY_KEYS", KEY)
    names = given()
    for block in blocks_of(page):
        if block.language == "python" and not is_elsewhere(block) and not file_name(block):
            exec(compile(block.code, page, "exec"), names)


def file_name(block: Block) -> str | None:
    found = re.match(r"# ([\w./]+\.py)\n", block.code)
    return found[1] if found else None


# --- commands


class Command(NamedTuple):
    text: str
    prints: str | None
    """The shown output, with the exit status; None for a block that only has to succeed."""


def commands_of(block: Block) -> list[Command]:
    if block.language == "shell":
        return [Command(block.code, block.prints)]
    shown = re.split(r"^\$ ", block.code, flags=re.MULTILINE)
    assert shown[0] == "", f"{block.page}: a console block begins with a command"
    return [Command(command, prints) for command, _, prints in (one.partition("\n") for one in shown[1:])]


def run_session(commands: list[Command], folder: Path, environment: Mapping[str, str]) -> list[str]:
    """Run *commands* in one bash session in *folder*; return the output of each, with any exit status but 0."""
    outputs = folder.parent / "outputs"
    outputs.mkdir()
    script = ""
    for number, command in enumerate(commands):
        strict = "set -e" if command.prints is None else "set +e"
        script += f"{strict}\n{{ {command.text}\n}} > {outputs}/{number} 2>&1\necho $? > {outputs}/{number}.status\n"
    with started(["bash", "-c", script], log=folder.parent / "log", env=environment, cwd=folder, patience=5) as bash:
        try:
            bash.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            pytest.fail(f"not over after {TIMEOUT:g} s: {[path.read_text() for path in outputs.iterdir()]}")
    printed = []
    for number in range(len(commands)):
        output, status = Path(outputs, str(number)).read_text(), Path(outputs, f"{number}.status")
        assert status.is_file(), f"failed: {commands[number].text}\n{output}"
        code = status.read_text().strip()
        printed.append(output if code == "0" else f"{output}\n[exit status {code}]")
    return printed


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RESTATE_")}
    return {
        **kept,
        "PATH": PATH,
        "PYTHONPATH": str(ROOT),
        # The packages are installed already; without an index, pip confirms that or fails.
        "PIP_NO_INDEX": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        # The proxy in the environment is for remote hosts.
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
        **more,
    }


def check(page: str, folder: Path, env: Mapping[str, str], adapted: Callable[[str], str] = str) -> None:
    """Run the commands of *page*, *adapted* to this machine, and compare their output with the shown one."""
    blocks = [block for block in blocks_of(page) if block.language in RUN and not is_elsewhere(block)]
    for block in blocks:
        name = file_name(block)
        if block.language == "python" and name:
            (folder / name).write_text(adapted(block.code))
    commands = [command for block in blocks if block.language != "python" for command in commands_of(block)]
    adapted_commands = [command._replace(text=adapted(command.text)) for command in commands]
    for command, printed in zip(commands, run_session(adapted_commands, folder, env), strict=True):
        if command.prints is None:
            assert "does not provide the extra" not in printed, printed
        else:
            assert comparable(printed) == comparable(adapted(command.prints)), command.text


def comparable(output: str) -> list[str]:
    return [line for line in without_what_varies(output).splitlines() if line]


@pytest.mark.parametrize("page", [page for page in pages_with("shell", "console") if page != "docs/tutorial.md"])
def test_the_commands_of_the_page_do_what_it_says(page: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    # The README makes it.
    if page != "README.md":
        (folder / "private.pem").write_bytes(SIGNER.to_pem())
        (folder / "private.pem").chmod(0o600)
    check(page, folder, environment())


def test_the_tutorial_leads_from_nothing_to_a_guarded_service_on_a_real_server(
    restate_program: Path, tmp_path: Path
) -> None:
    if shutil.which("curl") is None:
        pytest.skip("the tutorial's commands need curl")
    folder = tmp_path / "folder"
    (folder / "node_modules" / ".bin").mkdir(parents=True)
    (folder / "node_modules" / ".bin" / "restate-server").symlink_to(restate_program)
    ports = {"9080": free_port(), "8080": free_port(), "9070": free_port()}
    node = free_port()

    def adapted(text: str) -> str:
        for usual, port in ports.items():
            text = text.replace(f"127.0.0.1:{usual}", f"127.0.0.1:{port}")
        return text

    # Use free ports, and leave out everything that would slow down the end of the test.
    settings = {
        "HOME": str(tmp_path),
        "RESTATE_LISTEN_MODE": "tcp",
        "RESTATE_BIND_PORT": str(node),
        "RESTATE_ADVERTISED_ADDRESS": f"http://127.0.0.1:{node}",
        "RESTATE_INGRESS__BIND_PORT": str(ports["8080"]),
        "RESTATE_ADMIN__BIND_PORT": str(ports["9070"]),
        "RESTATE_DEFAULT_NUM_PARTITIONS": "1",
        "RESTATE_SHUTDOWN_TIMEOUT": "2s",
        "RESTATE_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "1",
    }
    check("docs/tutorial.md", folder, environment(**settings), adapted)


def test_the_server_of_the_tutorial_is_the_demos() -> None:
    (install,) = (block.code for block in blocks_of("docs/tutorial.md") if block.code.startswith("npm install"))
    pinned = json.loads((ROOT / "tests" / "support" / "npm" / "package.json").read_text())["dependencies"]
    ((package, version),) = pinned.items()
    assert install == f"npm install {package}@{version}\n"

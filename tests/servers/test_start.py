"""A mistake in the configuration ends the process at its start, for every example in README, docs and integrations.

Each example runs in its servers, as a separate process, with an unusable key and without a key.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from restate_identity.keyring import VARIABLES
from tests.support import ROOT
from tests.support.processes import accepts_connections, free_port, ran
from tests.support.processes import started as launched

INTEGRATIONS = ROOT / "integrations"
DEADLINE = 60.0

ASGI = {
    "uvicorn, h11": ["uvicorn", "{app}", "--port={port}", "--http=h11"],
    "uvicorn, httptools": ["uvicorn", "{app}", "--port={port}", "--http=httptools"],
    "hypercorn": ["hypercorn", "{app}", "--bind=127.0.0.1:{port}"],
    "granian": ["granian", "{app}", "--interface=asgi", "--host=127.0.0.1", "--port={port}"],
}
WSGI = {
    "gunicorn": ["gunicorn", "{app}", "--bind=127.0.0.1:{port}", "--no-control-socket"],
    "waitress": ["waitress", "--listen=127.0.0.1:{port}", "{app}"],
}
PROTECTED = {"DJANGO_SECRET_KEY": "made for this test", "DJANGO_ALLOWED_HOSTS": "127.0.0.1", "METRICS_PORT": "0"}

INTEGRATED = [
    ("restate_sdk", "app:app", "hypercorn"),
    ("fastapi", "app:app", "hypercorn"),
    ("docker", "app:app", "hypercorn"),
    ("vercel/api", "index:app", "uvicorn, h11"),
    ("starlette_any_app", "app:app", "uvicorn, httptools"),
    ("grafana", "app:app", "uvicorn, h11"),
    ("kubernetes", "app:app", "granian"),
    ("django", "shop.asgi:application", "uvicorn, h11"),
    ("django", "shop.wsgi:application", "gunicorn"),
    ("flask", "app:app", "gunicorn"),
    ("flask", "app:app", "waitress"),
]
README = (ROOT / "README.md").read_text("utf-8")
BEFORE = {
    "restate_app(": "import restate\ngreeter = restate.Service('Greeter')\n",
    "RequestIdentityMiddleware(app": "from starlette.applications import Starlette\napp = Starlette()\n",
}
SNIPPETS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
WRONG = {"RESTATE_IDENTITY_KEYS": "publickeyv1_wrong"}
COMPLAINT = "'publickeyv1_wrong' holds 4 bytes, an Ed25519 public key has 32"


def started(folder: Path, app: str, server: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Start the server, and return when it has ended by itself."""
    return ended(folder, (ASGI | WSGI)[server], app, environ)


def ended(folder: Path, arguments: list[str], app: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    port = free_port()
    command = [part.format(app=app, port=port) for part in arguments]
    clean = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    try:
        return subprocess.run(
            [sys.executable, "-m", *command],
            cwd=folder,
            env={**clean, **PROTECTED, "PYTHONPATH": str(ROOT), **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        pytest.fail(f"{command[0]} still runs; it {'listens' if accepts_connections(port) else 'does not listen'}")


PAGE = (ROOT / "docs" / "operating.md").read_text("utf-8")
EXIT_STATUS = dict(re.findall(r"^\| `([a-z]+(?: --workers 2)?)` \| (\d(?: or \d)?|none)", PAGE, flags=re.MULTILINE))
CHECKED_FIRST = re.findall(r"^(python -c .*) && exec", PAGE, flags=re.MULTILINE)


def test_the_page_has_a_row_for_every_server_that_is_tried_here() -> None:
    programs = {command[0] for command in (ASGI | WSGI).values()}
    assert set(EXIT_STATUS) == programs | {f"{program} --workers 2" for program in programs - {"waitress"}}


@pytest.fixture
def mistaken(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(
        "from restate_identity.asgi import RequestIdentityMiddleware\n"
        "app = RequestIdentityMiddleware(None, identity_keys=['publickeyv1_wrong'])\n"
    )
    return tmp_path


@pytest.mark.parametrize("server", [server for server, status in EXIT_STATUS.items() if status != "none"])
def test_with_a_mistake_a_server_ends_with_the_status_that_the_page_says(server: str, mistaken: Path) -> None:
    program, *workers = server.split(" ", 1)
    command = next(command for command in (ASGI | WSGI).values() if command[0] == program)
    outcome = ended(mistaken, [*command, *" ".join(workers).split()], "app:app", {})
    assert COMPLAINT in outcome.stdout
    assert str(outcome.returncode) in EXIT_STATUS[server].split(" or ")


def test_with_a_mistake_uvicorn_with_several_workers_goes_on_to_start_workers_and_serves_nothing(
    mistaken: Path, tmp_path: Path
) -> None:
    assert EXIT_STATUS["uvicorn --workers 2"] == "none"
    port, log = free_port(), tmp_path / "log"
    command = [sys.executable, "-m", "uvicorn", "app:app", f"--port={port}", "--workers=2"]
    with launched(command, log=log, cwd=mistaken, env={**os.environ, "PYTHONPATH": str(ROOT)}) as server:
        give_up_at = time.monotonic() + DEADLINE
        while log.read_text().count(COMPLAINT) < 6:
            assert time.monotonic() < give_up_at, log.read_text()
            time.sleep(0.1)
        assert server.poll() is None
        assert not accepts_connections(port)


def test_trying_the_import_first_ends_with_a_status_of_failure(mistaken: Path) -> None:
    (command,) = CHECKED_FIRST
    program, *arguments = shlex.split(command)
    assert program == "python"
    outcome = ran(sys.executable, *arguments, cwd=mistaken, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert COMPLAINT in outcome.stderr
    assert outcome.returncode == 1


@pytest.mark.parametrize(("folder", "app", "server"), INTEGRATED)
def test_an_integration_with_a_key_that_cannot_be_used_ends_at_its_start(folder: str, app: str, server: str) -> None:
    assert COMPLAINT in started(INTEGRATIONS / folder, app, server, WRONG).stdout


@pytest.mark.parametrize("server", ASGI)
@pytest.mark.parametrize("call", BEFORE)
def test_what_the_readme_shows_ends_at_its_start_under_every_server(call: str, server: str, tmp_path: Path) -> None:
    (snippet,) = (code for code in SNIPPETS if call in code)
    (tmp_path / "app.py").write_text(BEFORE[call] + snippet)
    assert COMPLAINT in started(tmp_path, "app:app", server, WRONG).stdout
    assert "no identity key is configured" in started(tmp_path, "app:app", server, {}).stdout

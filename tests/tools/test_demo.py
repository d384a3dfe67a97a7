"""Run the demo as a user does, and check its output, its exit status and what it leaves behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from restate_identity import Reason
from tests.support import ROOT
from tests.support.eventually import eventually
from tests.support.processes import accepts_connections, free_port, started
from tests.support.restate_server import ServerUnavailable, find_server

DEMO = [sys.executable, "-m", "demo"]
UNGUARDED_DEMO = [
    sys.executable,
    "-c",
    "from demo.__main__ import main; raise SystemExit(main('tests.support.unguarded_app:app'))",
]
REASONS = set(Reason) - {Reason.TOO_OLD}  # the demo's guard has no maximum age
BROKEN_NPM = "#!/bin/sh\necho the registry cannot be reached\nexit 1\n"
# Installs the layout that npm installs, when another one is about to, too; fails if none comes within half a minute.
ONE_NPM_OF_TWO = """#!/bin/sh
echo > "$0.$$"
for try in $(/usr/bin/seq 300); do
    set -- "$0".*
    [ $# -eq 2 ] && break
    /bin/sleep 0.1
done
[ $# -eq 2 ] || exit 1
for platform in linux-x64 linux-arm64 darwin-x64 darwin-arm64; do
    /bin/mkdir -p node_modules/@restatedev/restate-server-$platform/bin
    echo > node_modules/@restatedev/restate-server-$platform/bin/restate-server
    /bin/chmod +x node_modules/@restatedev/restate-server-$platform/bin/restate-server
done
"""


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """The folder in which the demo makes its temporary ones."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder


@pytest.fixture
def no_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without a Restate server and without npm; the folder that is its PATH."""
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.delenv("RESTATE_SERVER_BIN", raising=False)
    monkeypatch.setenv("RESTATE_SERVER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(programs))
    return programs


def run_demo(temporary: Path, argv: list[str] = DEMO) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "TMPDIR": str(temporary)}
    return subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, encoding="utf-8", timeout=300, check=False)


@pytest.mark.usefixtures("restate_program")
def test_the_demo_shows_every_reason_and_succeeds(temporary: Path) -> None:
    demo = run_demo(temporary)

    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "every one as expected" in demo.stdout
    assert "real server  Counter alice/ü 😀 add" in demo.stdout
    assert [reason for reason in REASONS if f" {reason} " not in demo.stdout] == []
    assert demo.stderr == ""
    assert list(temporary.iterdir()) == []


def test_the_demo_is_locked_to_the_versions_that_the_tests_use() -> None:
    demo, dev = (
        set(re.findall(r"^[\w.-]+==\S+", (ROOT / "requirements" / name).read_text("utf-8"), flags=re.MULTILINE))
        for name in ("demo.txt", "dev.txt")
    )
    assert demo
    assert demo < dev


@pytest.mark.usefixtures("no_server")
def test_without_npm_the_demo_says_so_and_still_runs_the_attacks(temporary: Path) -> None:
    demo = run_demo(temporary)

    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "npm, which installs it, is not on the PATH" in demo.stdout
    assert "real server" not in demo.stdout
    assert [reason for reason in REASONS if f" {reason} " not in demo.stdout] == []
    assert list(temporary.iterdir()) == []


@pytest.mark.usefixtures("no_server")
def test_a_service_without_a_guard_is_noticed(temporary: Path) -> None:
    demo = run_demo(temporary, UNGUARDED_DEMO)

    assert demo.returncode == 1, demo.stdout + demo.stderr
    attacks = [line for line in demo.stdout.splitlines() if line.startswith("attacker")]
    assert attacks
    assert all(line.endswith("NOT AS EXPECTED") for line in attacks)
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("Starting the guarded service", signal.SIGTERM),
        ("Starting a real Restate server", signal.SIGINT),
        ("Registering", signal.SIGTERM),
        ("  Greeter greet", signal.SIGINT),
    ],
)
def test_a_demo_that_is_stopped_leaves_nothing_behind(
    restate_program: Path, temporary: Path, moment: str, number: signal.Signals
) -> None:
    env = {**os.environ, "TMPDIR": str(temporary), "RESTATE_SERVER_BIN": str(restate_program)}
    with subprocess.Popen(
        DEMO,
        cwd=ROOT,
        env=env,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        # A shell starts background jobs with SIGINT ignored, and their children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as demo:
        assert demo.stdout is not None
        assert any(line.startswith(moment) for line in demo.stdout)
        seen = processes_with(temporary)
        if moment == "Registering":
            # The demo, the service and the server run now: what is left behind can be seen.
            assert len(seen) >= 3
            assert list(temporary.iterdir()) != []
        demo.send_signal(number)
        printed = demo.stdout.read()
        assert demo.wait(60) == 128 + number

    assert "Stopped." in printed
    assert demo.pid in seen
    assert processes_with(temporary) == set()
    assert list(temporary.iterdir()) == []


def test_a_child_that_ignores_the_request_to_end_is_ended(tmp_path: Path) -> None:
    port = free_port()
    serve = f"trap '' TERM; {sys.executable} -m http.server --bind 127.0.0.1 {port} & wait; wait"
    with started(["/bin/sh", "-c", serve], log=tmp_path / "log", patience=0.5) as child:
        while not accepts_connections(port):
            assert child.poll() is None

    # The kernel may take a while to close the files of a killed process.
    eventually(lambda: not accepts_connections(port))


def test_a_failed_install_is_reported_and_leaves_nothing_behind(no_server: Path, tmp_path: Path) -> None:
    write_npm(no_server, BROKEN_NPM)

    with pytest.raises(ServerUnavailable, match="the registry cannot be reached"):
        find_server(lambda _: None)

    assert list((tmp_path / "cache").iterdir()) == []


def test_two_installs_at_once_do_no_harm(no_server: Path, tmp_path: Path) -> None:
    write_npm(no_server, ONE_NPM_OF_TWO)
    find = [
        sys.executable,
        "-c",
        "from tests.support.restate_server import find_server; print(find_server(lambda _: None))",
    ]

    both = [subprocess.Popen(find, cwd=ROOT, stdout=subprocess.PIPE, encoding="utf-8") for _ in range(2)]
    found = {process.communicate(timeout=60)[0].strip() for process in both}

    assert [process.returncode for process in both] == [0, 0]
    assert found == {str(find_server(lambda _: None))}
    assert len(list((tmp_path / "cache").iterdir())) == 1


def write_npm(folder: Path, script: str) -> None:
    npm = folder / "npm"
    npm.write_text(script)
    npm.chmod(0o755)


def processes_with(folder: Path) -> set[int]:
    """Return the ids of the processes that have *folder* in their environment or arguments, as all the demo's have."""
    found = set()
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if any(str(folder) in text for text in (*process.environ().values(), *process.cmdline())):
                found.add(process.pid)
    return found

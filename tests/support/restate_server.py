"""Find or install a real Restate server, start it on loopback in a temporary folder, and stop it."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import httpx

from tests.support import ROOT
from tests.support.npm_packages import NpmUnavailable, installed
from tests.support.processes import free_port, interrupts_held_back, running

PINNED = ROOT / "tests" / "support" / "npm"
REMEDY = "Set RESTATE_SERVER_BIN to a restate-server program if you have one."


class ServerUnavailable(Exception):  # noqa: N818 (a state of the machine, not an error of ours)
    """No Restate server is available. The message says what is missing and how to get it."""


def find_server(report: Callable[[str], None] = print) -> Path:
    """Return the Restate server program, installing it with npm when it is not there yet.

    ``RESTATE_SERVER_BIN`` names a program to use instead. ``RESTATE_SERVER_CACHE`` names the folder to install into,
    ``.cache/restate-server`` in this repository by default.

    Args:
        report: Called with a message before a slow step.

    Raises:
        ServerUnavailable: There is none, and it cannot be installed.
    """
    override = os.environ.get("RESTATE_SERVER_BIN")
    if override:
        return _executable(Path(override), "RESTATE_SERVER_BIN is set to")
    program = _program_path()
    cache = Path(os.environ.get("RESTATE_SERVER_CACHE") or ROOT / ".cache" / "restate-server")
    try:
        folder = installed(PINNED, "the Restate server, a download of 216 MB,", cache=cache, report=report)
    except NpmUnavailable as error:
        raise ServerUnavailable(f"{error} {REMEDY}") from None
    return _executable(folder / program, f"The cache is damaged (remove {folder}): no")


class RestateServer:
    """A Restate server of our own, from ``with`` to the end of the block.

    Args:
        program: What `find_server` returned.
        identity_key: The PEM file with the private key to sign requests with; None for a server that does not sign.
        env: Further settings, ``RESTATE_SECTION__KEY``.
        data: A folder for its data, for a server that is started again; a temporary folder by default.
    """

    def __init__(
        self,
        program: Path,
        *,
        identity_key: Path | None = None,
        env: Mapping[str, str] | None = None,
        data: Path | None = None,
    ) -> None:
        self._program = program
        self._data = data
        self._settings = dict(env or {})
        if identity_key is not None:
            key_setting = "RESTATE_WORKER__INVOKER__REQUEST_IDENTITY_PRIVATE_KEY_PEM_FILE"
            self._settings[key_setting] = str(identity_key.absolute())
        self._resources = ExitStack()

    def __enter__(self) -> RestateServer:
        with ExitStack() as resources:
            folder = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="restate-server-")))
            ingress, admin, node = free_port(), free_port(), free_port()
            self.ingress_url = f"http://127.0.0.1:{ingress}"
            self.admin_url = f"http://127.0.0.1:{admin}"
            self._log = folder / "server.log"
            # No proxy from the environment, and no TLS: all of this is on loopback.
            self._http = httpx.Client(trust_env=False, verify=False, timeout=60)
            resources.push(self._close_client)
            resources.enter_context(
                running(
                    [str(self._program), "--no-logo", "--base-dir", str(self._data or folder / "data")],
                    log=self._log,
                    env={**_environment(folder, ingress, admin, node), **self._settings},
                    cwd=folder,
                    ready=self._is_healthy,
                )
            )
            self._resources = resources.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with interrupts_held_back():
            self._resources.__exit__(kind, error, traceback)

    def _close_client(self, kind: type[BaseException] | None, *_: object) -> None:
        # An interrupt may have come while the client held a lock. To close it would wait for that for ever.
        if kind is None or issubclass(kind, Exception):
            self._http.close()

    @property
    def log(self) -> str:
        """The output of the server so far."""
        return self._log.read_text("utf-8", errors="replace")

    def register(self, uri: str, *, use_http_11: bool = False) -> httpx.Response:
        """Register the services at *uri* with the server; return its answer, whatever the status."""
        deployment = {"uri": uri, "use_http_11": use_http_11}
        return self._http.post(f"{self.admin_url}/deployments", json=deployment)

    def invoke(self, path: str, payload: object) -> httpx.Response:
        """Call ``Service/handler`` or ``Object/<percent-encoded key>/handler`` and return the answer."""
        return self._http.post(f"{self.ingress_url}/{path}", json=payload)

    def _is_healthy(self) -> bool:
        try:
            return self._http.get(f"{self.admin_url}/health", timeout=2).is_success
        except httpx.TransportError:
            return False


def _environment(folder: Path, ingress: int, admin: int, node: int) -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", ""),
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "DO_NOT_TRACK": "1",
        "RESTATE_DISABLE_TELEMETRY": "true",
        "RESTATE_LOG_DISABLE_ANSI_CODES": "true",
        "RESTATE_SHUTDOWN_TIMEOUT": "2s",  # its data is thrown away, so there is nothing to wait for
        "RESTATE_LISTEN_MODE": "tcp",
        "RESTATE_DEFAULT_NUM_PARTITIONS": "1",
        "RESTATE_BIND_ADDRESS": f"127.0.0.1:{node}",
        "RESTATE_ADVERTISED_ADDRESS": f"http://127.0.0.1:{node}",
        "RESTATE_INGRESS__BIND_ADDRESS": f"127.0.0.1:{ingress}",
        "RESTATE_ADMIN__BIND_ADDRESS": f"127.0.0.1:{admin}",
    }


def _program_path() -> Path:
    machine = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}.get(platform.machine().lower())
    if sys.platform not in ("linux", "darwin") or machine is None:
        raise ServerUnavailable(
            f"There is no Restate server for {sys.platform} on {platform.machine()}, "
            f"only for Linux and macOS on x64 and arm64. {REMEDY}"
        )
    return Path("node_modules", "@restatedev", f"restate-server-{sys.platform}-{machine}", "bin", "restate-server")


def _executable(program: Path, complaint: str) -> Path:
    if not (program.is_file() and os.access(program, os.X_OK)):
        raise ServerUnavailable(f"{complaint} {program}, which is not a program that can be run.")
    return program

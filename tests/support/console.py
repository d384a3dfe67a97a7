"""Run the commands of a page; ``python -m tests.support.console`` updates their output in ``docs/command-line.md``."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path

from restate_identity.signing import RequestSigner
from tests.support import ROOT
from tests.support.probed.endpoints import ENDPOINTS, served
from tests.support.processes import PATH
from tests.support.restate_server import RestateServer, find_server

PAGE = ROOT / "docs" / "command-line.md"
CONSOLE = re.compile(r"(?<=```console\n).*?(?=```)", re.DOTALL)
PORT = "127.0.0.1:9080"
ADMIN = "http://127.0.0.1:9070"
# What differs from run to run.
VARYING = [
    (r"publickeyv1_\w+", "publickeyv1_..."),
    (r"eyJ[\w.-]+", "TOKEN"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d\d:\d\d", "LOCAL TIME"),
    (r"\b1\d{9}\b", "UNIX TIME"),
    (r"\b\d+(\.\d+)? seconds?\b", "SECONDS"),
]


def rewritten(page: str, restate: RestateServer) -> str:
    """Return *page* with what its commands print now. The server on port 9070 is *restate*."""
    page = page.replace(ADMIN, restate.admin_url)
    return _run(page).replace(restate.admin_url, ADMIN)


def _run(page: str) -> str:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        environment = {
            **os.environ,
            "PATH": PATH,
            "PYTHONWARNINGS": "error",
        }
        for name in [name for name in environment if name.startswith("RESTATE_")]:
            del environment[name]
        endpoint = ""

        def output(command: str) -> str:
            nonlocal endpoint
            if PORT in command and not endpoint:
                key = str(RequestSigner.from_pem(Path(folder, "private.pem")).public_key)
                served_port = stack.enter_context(served(ENDPOINTS["this library"](), key)).port
                endpoint = f"127.0.0.1:{served_port}"
            argv = ["/bin/sh", "-c", command.replace(PORT, endpoint)]
            done = subprocess.run(
                argv,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=120,
                check=False,
            )
            status = f"[exit status {done.returncode}]\n" if done.returncode else ""
            printed = done.stdout.replace(endpoint, PORT) if endpoint else done.stdout
            return f"$ {command}\n{printed}{status}"

        def block(found: re.Match[str]) -> str:
            return "".join(output(line[2:]) for line in found[0].splitlines() if line.startswith("$ "))

        return CONSOLE.sub(block, page)


def without_what_varies(page: str) -> str:
    for pattern, name in VARYING:
        page = re.sub(pattern, name, page)
    return page


if __name__ == "__main__":
    with RestateServer(find_server()) as server:
        PAGE.write_text(rewritten(PAGE.read_text("utf-8"), server), "utf-8")

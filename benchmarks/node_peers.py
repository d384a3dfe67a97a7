"""The contenders on Node: the TypeScript SDK's verifier, jose, and fast-jwt with and without its cache.

They are installed from the lock in `benchmarks/node/`, and run in one child process, which times itself.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks import children
from benchmarks.contenders import Contender, ContenderError, prove
from benchmarks.measure import Case
from benchmarks.signed import KeyPair, SignedRequest
from tests.support.base64url import base64url
from tests.support.npm_packages import NpmUnavailable, installed

SOURCES = Path(__file__).parent / "node"
FAST = "fast-jwt with its cache"


class NodeUnavailableError(Exception):
    """Node is missing, or the contenders could not be installed. The message says which."""


class NodePeer:
    """One contender, in the child process."""

    def __init__(self, child: _Child, name: str) -> None:
        self._child = child
        self._key = name
        self.name = f"{name} (Node)"

    def contender(self) -> Contender:
        """Return the peer as a contender for `prove`; the time of its calls means nothing."""
        return Contender(self.name, lambda request: (request,), self._check)

    def repeated(self, request: SignedRequest, count: int) -> Case:
        """Return the case of checking one request again and again."""
        self._child.load("repeated", [request])
        count *= 10 if self._key == FAST else 1
        return Case(self.name, lambda: self._child.time(self._key, "repeated", 0, count, forget=False))

    def distinct(self, pool: list[SignedRequest], count: int) -> Case:
        """Return the case of checking the next *count* tokens of *pool*, with an empty cache."""
        self._child.load("distinct", pool)
        position = 0

        def sample() -> float:
            nonlocal position
            start, position = position, (position + count) % len(pool)
            return self._child.time(self._key, "distinct", start, count, forget=True)

        return Case(self.name, sample)

    def _check(self, request: SignedRequest) -> None:
        if not self._child.ask({"do": "check", "peer": self._key, "request": _plain(request)}):
            raise ContenderError("refused")


class _Child:
    """Talks to the Node process in JSON lines."""

    def __init__(self, pair: KeyPair, stack: ExitStack, folder: Path) -> None:
        x = base64url(pair.public.raw)
        jwk = json.dumps({"kty": "OKP", "crv": "Ed25519", "x": x})
        self._process = stack.enter_context(
            subprocess.Popen(
                ["node", "peers.mjs", jwk, str(pair.public)],
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        )
        self._loaded: dict[str, object] = {}

    def ask(self, command: dict[str, Any]) -> Any:
        answer = children.ask(self._process, command, ended=NodeUnavailableError("the Node process ended by itself"))
        if "error" in answer:
            raise ContenderError(f"on Node: {answer['error']}")
        return answer["value"]

    def load(self, name: str, requests: list[SignedRequest]) -> None:
        if self._loaded.get(name) is requests:
            return
        self.ask({"do": "load", "set": name, "requests": [_plain(request) for request in requests]})
        self._loaded[name] = requests

    def time(self, peer: str, name: str, start: int, count: int, *, forget: bool) -> float:
        command = {"do": "time", "peer": peer, "set": name, "start": start, "count": count, "forget": forget}
        return float(self.ask(command))


def node_contenders(pair: KeyPair, stack: ExitStack) -> tuple[list[NodePeer], list[str]]:
    """Return the contenders, each proven, and notes about missing ones.

    Closing *stack* ends their process.
    """
    try:
        child = _Child(pair, stack, _folder())
        peers = [NodePeer(child, name) for name in child.ask({"do": "peers"})]
    except NodeUnavailableError as error:
        return [], [f"left out, the contenders that run on Node: {error}"]
    for peer in peers:
        prove(peer.contender(), pair)
    return peers, []


def versions() -> dict[str, str]:
    """Return the versions of Node, if there is one, and of the contenders."""
    if not shutil.which("node"):
        return {}
    node = subprocess.run(["node", "--version"], check=True, capture_output=True, text=True).stdout.strip()
    packages = json.loads((SOURCES / "package-lock.json").read_text())["packages"]
    wanted = packages[""]["dependencies"]
    return {"node": node, **{name: packages[f"node_modules/{name}"]["version"] for name in wanted}}


def _folder() -> Path:
    if not shutil.which("node"):
        raise NodeUnavailableError("node is not installed")
    try:
        return installed(SOURCES, "the contenders")
    except NpmUnavailable as error:
        raise NodeUnavailableError(str(error)) from None


def _plain(request: SignedRequest) -> dict[str, Any]:
    headers = {name.decode(): value.decode() for name, value in request.headers}
    return {"path": request.path, "token": request.token, "headers": headers}

"""Describe the machine of a run: the processor, the system, and the versions of everything that was measured."""

from __future__ import annotations

import os
import platform
import re
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks import node_peers

MEASURED = (
    "restate-identity",
    "restate-sdk",
    "pynacl",
    "cryptography",
    "pyjwt",
    "joserfc",
    "authlib",
    "uvicorn",
    "hypercorn",
    "h11",
    "httptools",
    "uvloop",
)


def describe() -> dict[str, Any]:
    """Return the machine and the interpreter, without host name, paths or user."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release().split('-')[0]} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "gil": getattr(sys, "_is_gil_enabled", lambda: True)(),
    }


def name() -> str:
    """Return a short name for the kind of machine, for a file name."""
    words = re.sub(r"\((r|tm)\)|\bcpu\b|@", " ", _processor().lower())
    return re.sub(r"[^a-z0-9.]+", "-", f"{words} {os.cpu_count()} cores").strip("-")


def versions() -> dict[str, str]:
    """Return the versions of all measured packages that are installed."""
    from cryptography.hazmat.backends.openssl import backend

    found = {"openssl": backend.openssl_version_text()}
    for distribution in MEASURED:
        try:
            found[distribution] = metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return {**found, **node_peers.versions()}


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()

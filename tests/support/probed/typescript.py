"""The TypeScript SDK, installed by npm."""

from __future__ import annotations

from pathlib import Path

from tests.support.npm_packages import installed


def installed_service() -> Path:
    """Return the folder with ``service.mjs`` and the SDK that it needs."""
    return installed(Path(__file__).parent / "npm", "the TypeScript SDK")


def installed_sdk() -> Path:
    """Return the folder of the SDK."""
    return installed_service() / "node_modules" / "@restatedev" / "restate-sdk"

"""Verification for services in any language: a reverse proxy asks `EdgeApplication` about every request.

Run it with ``restate-identity edge``, or with any ASGI server.
"""

from __future__ import annotations

from restate_identity.edge.application import EdgeApplication

__all__ = ["EdgeApplication"]

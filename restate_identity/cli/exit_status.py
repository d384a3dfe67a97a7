"""The exit statuses of the command."""

from __future__ import annotations

YES = 0
"""Yes, or done."""
NO = 1
"""Refused, or findings."""
FAILED = 2
"""Could not be done."""
INTERRUPTED = 130
PIPE_CLOSED = 141
"""Nobody read the output."""

"""The exit statuses of the command."""

from __future__ import annotations

YES = 0
"""Yes, or done."""
NO = 1
"""Refused, or findings."""
FAILED = 2
"""An error: the command could not do what was asked."""
INTERRUPTED = 130
PIPE_CLOSED = 141
"""The reader of the output closed the pipe."""

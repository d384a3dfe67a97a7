"""Start the command `restate-identity`, or say what to install; also for ``python -m restate_identity``."""

from __future__ import annotations

import sys

_EXTRA = {"click", "cryptography", "h2", "httpx", "jwt", "rich"}


def main() -> int:
    """Run the command on the arguments of this process and return its exit status."""
    try:
        from restate_identity.cli.main import run
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        print(
            f"restate-identity: {error.name} is missing; run: pip install 'restate-identity[cli]'",
            file=sys.stderr,
        )
        return 2
    return run()


if __name__ == "__main__":
    sys.exit(main())

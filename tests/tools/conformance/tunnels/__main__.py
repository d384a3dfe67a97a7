"""The tunnel part of ``make conformance``: print the table, and fail if our tunnel loses a request."""

from __future__ import annotations

import sys

from tests.tools.conformance.tunnels.comparison import compare, losses, table


def main() -> int:
    rows = compare()
    print(table(rows))
    lost = losses(rows)
    for line in lost:
        print(f"lost: {line}")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())

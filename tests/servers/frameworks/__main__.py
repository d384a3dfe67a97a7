"""``python -m tests.servers.frameworks``: the attacks on every application; fails if a handler ran without right."""

from __future__ import annotations

import argparse
import sys
import time

from tests.servers.frameworks.attacks import SEED, relatives
from tests.servers.frameworks.fuzzer import SIGNER, LambdaTarget, Tally, attack, drawn, opened
from tests.servers.frameworks.servers import COMMANDS, ENDPOINTS, served


def main() -> int:
    parser = argparse.ArgumentParser(description="Attack the path, over servers, frameworks and adapters.")
    parser.add_argument("--mutations", type=int, default=500, help="drawn for each application (default: %(default)s)")
    parser.add_argument(
        "--relatives", type=int, default=len(relatives()), help="of known attacks (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=SEED, help="what they are drawn from (default: %(default)s)")
    parser.add_argument("--server", action="append", choices=COMMANDS, help="only this one; may be repeated")
    arguments = parser.parse_args()
    started = time.monotonic()
    total = Tally()
    print("".ljust(26) + "".join(f"   {column}" for column in COLUMNS), flush=True)
    with served(arguments.server or COMMANDS, identity_key=str(SIGNER.public_key)) as ports:
        for endpoint in ENDPOINTS:
            if endpoint.server not in ports:
                continue
            tally, target = Tally(), opened(endpoint, ports)
            for framework in endpoint.frameworks:
                seed = f"{arguments.seed} {endpoint} {framework}"
                if isinstance(target, LambdaTarget):
                    target.seed(seed)
                attacked = attack(target, framework, drawn(seed, arguments.relatives, arguments.mutations))
                for ran in attacked.without_right:
                    print(f"{framework} behind {endpoint} ran {ran.handler} for {ran.target[:200]!r} and {ran.access}")
                tally += attacked
            target.close()
            print(_row(str(endpoint), tally), flush=True)
            total += tally
    print(_row("all", total))
    print(f"{time.monotonic() - started:.0f} s")
    return 1 if total.without_right else 0


COLUMNS = ("requests", "refused by the guard", "ran with right", "ran without")


def _row(name: str, tally: Tally) -> str:
    without = len(tally.without_right)
    figures = (tally.sent, tally.statuses[401], tally.ran - without, without)
    return name.ljust(26) + "".join(
        f"{figure:>{len(column) + 3}}" for figure, column in zip(figures, COLUMNS, strict=True)
    )


if __name__ == "__main__":
    sys.exit(main())

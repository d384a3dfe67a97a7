"""``make conformance``: give all verifiers every vector and many mutations, run the tunnels, and fail on a surprise.

``python -m tests.tools.conformance.tunnels`` runs the tunnels alone.
"""

from __future__ import annotations

import argparse
import sys
import time

from tests.tools.conformance.comparison import SEED, matrix, of_mutations, of_vectors
from tests.tools.conformance.judges import OURS, PYJWT, PYTHON_SDK, typescript_sdk
from tests.tools.conformance.tunnels import __main__ as tunnels


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare this project with other verifiers.")
    parser.add_argument(
        "--mutations", type=int, default=200_000, help="how many mutated requests (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=SEED, help="what they are drawn from (default: %(default)s)")
    arguments = parser.parse_args()
    started = time.monotonic()
    with typescript_sdk() as typescript:
        judges = (OURS, PYTHON_SDK, typescript, PYJWT)
        vectors = of_vectors(judges)
        mutations = of_mutations(judges, arguments.mutations, seed=arguments.seed)
    print("Accepted / judged. A judge without a clock to set leaves out what depends on the exact second.\n")
    print(matrix([*vectors.rows, *mutations.rows]))
    differences = vectors.differences + mutations.differences
    print("\nKnown differences from the SDKs that were met, and how often:\n")
    for about, count in differences.most_common():
        print(f"{count:8}  {about}")
    surprises = [*vectors.surprises, *mutations.surprises]
    print(f"\n{len(surprises)} surprises, after {time.monotonic() - started:.0f} s")
    for surprise in surprises[:50]:
        print(f"  {surprise}")
    print("\nThe tunnels: lost of how many requests, and how long it took, with this project's and with the SDK's.\n")
    return tunnels.main() or (1 if surprises else 0)


if __name__ == "__main__":
    sys.exit(main())

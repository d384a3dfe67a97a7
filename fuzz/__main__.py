"""``make fuzz``: fuzz every target in its own process, print a line for each, and fail with the input that broke it."""

from __future__ import annotations

import argparse
import importlib.util
import json
import platform
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

from tests.support import ROOT, accelerator

CRASHES = ROOT / ".cache" / "fuzz"
NAMES = ("token", "claims", "asgi", "wsgi", "aws_lambda", "key", "signature", "encrypted_value", "destination")
WIDTH = max(map(len, NAMES)) + 1
START_UP = 120  # reading the seeds, on a slow machine


def fuzz(name: str, seconds: float, *, plant: str | None = None, crashes: Path = CRASHES) -> bool:
    """Fuzz one target; print a line, and the problem if there is one; return whether there was none."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as temporary:
        folder, log = Path(temporary), Path(temporary, "log")
        command = [sys.executable, "-m", "fuzz.run", name, str(seconds), str(folder)]
        with log.open("wb") as output:
            done = subprocess.run(
                [*command, *(["--plant", plant] if plant else [])],
                cwd=ROOT,
                # Only there, because it changes every check.
                env=accelerator.environment() if name == "signature" else None,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=seconds + START_UP,
                check=False,
            )
        report = folder / "figures.json"
        figures = json.loads(report.read_text()) if report.exists() else dict.fromkeys(COLUMNS, 0)
        row = "".join(f"{figures[column]:>{width}.{digits}f}" for column, (width, digits) in FORMATS)
        print(name.ljust(WIDTH) + row)
        if done.returncode == 0:
            return True
        lines = log.read_text(errors="replace").splitlines()
        print("\n".join(line[:300] for line in lines if not line.startswith(("INFO", "#")))[-4000:])
        crashes.mkdir(parents=True, exist_ok=True)
        for found in [*folder.glob("crash-*"), *folder.glob("timeout-*"), *folder.glob("oom-*")]:
            kept = crashes / f"{name}-{found.name}"
            kept.write_bytes(found.read_bytes())
            print(f"{name}: the input is kept in {kept}")
        print(f"{name}: FAILED (status {done.returncode})", flush=True)
        return False


COLUMNS = {
    "executions": (14, 0),
    "per_second": (12, 0),
    "corpus": (9, 0),
    "worst_ratio": (13, 1),
    "memory_growth": (17, 0),
}
FORMATS = COLUMNS.items()


def main() -> int:
    parser = argparse.ArgumentParser(description="Fuzz what reads the input of strangers.")
    parser.add_argument("--seconds", type=float, default=60, help="for each target (default: %(default)s)")
    parser.add_argument("--target", action="append", choices=NAMES, help="only this one; may be repeated")
    parser.add_argument("--plant", help=argparse.SUPPRESS)
    parser.add_argument("--crashes", type=Path, default=CRASHES, help="where inputs are kept that fail")
    arguments = parser.parse_args()
    if importlib.util.find_spec("atheris") is None:
        print("atheris has no wheel for this machine: it needs Linux on x86-64 and CPython 3.11 to 3.13")
        return 2
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("restate-identity", "atheris", "pynacl"))
    print(f"{arguments.seconds:g} s for each target; {versions}, Python {platform.python_version()}")
    print("target".ljust(WIDTH) + "".join(f"{column.replace('_', ' '):>{width}}" for column, (width, _) in FORMATS))
    names = arguments.target or NAMES
    if "signature" in names and not accelerator.IS_BUILT:
        print("left out, the accelerator: it is not built (make accelerator), so `signature` has nothing to compare")
    outcomes = [
        fuzz(name, arguments.seconds, plant=arguments.plant, crashes=arguments.crashes.absolute()) for name in names
    ]
    return 0 if all(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())

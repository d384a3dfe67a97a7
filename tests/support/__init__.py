"""Code that tests, demo, soak, fuzz and benchmarks share."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The root of the checkout."""

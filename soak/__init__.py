"""Run real servers under mixed traffic while keys and clocks change: ``make soak``."""

"""Fuzz the code that reads untrusted input, guided by coverage: ``make fuzz``."""

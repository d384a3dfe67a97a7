"""Tests of the command line, the probe, the distribution, and our own tools."""

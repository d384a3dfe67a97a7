"""The command line, the probe, the tests' own tools, and what is published."""

"""Measure the cost of verification side by side with its peers: `make bench`. This package is not installed."""

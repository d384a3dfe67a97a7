"""What verification costs, measured side by side with its peers. Run it with `make bench`; it is not installed."""

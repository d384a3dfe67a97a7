"""Show a real Restate server, a guarded service, and the attacks that it refuses: ``make demo``."""

"""A real Restate server, a guarded service, and the attacks that it turns away. Run it: ``make demo``."""

"""Run a minimal service of each official SDK, as users do, and send it every vector over HTTP."""

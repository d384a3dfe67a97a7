"""The smallest service of each official SDK, as users run it, and every vector sent to it over HTTP."""

"""The adapters behind real servers, and services that a real Restate server calls."""

"""Serve an ASGI app to Restate Cloud over an outbound connection, with no port open to the world."""

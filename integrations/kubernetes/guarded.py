"""The service behind the operator's own tunnel: it has a port, and so a guard. The keys come from the environment."""

from app import app as service

from restate_identity.asgi import RequestIdentityMiddleware

app = RequestIdentityMiddleware(service, exempt_paths=["/health"])

"""Tests of the adapters for ASGI, WSGI, Lambda, Django, FastAPI and the SDK, in this process and offline."""

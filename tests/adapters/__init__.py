"""The guard in front of ASGI, WSGI, Lambda, Django, FastAPI and the SDK, in this process and offline."""

import os

from django.conf import settings
from django.core.asgi import get_asgi_application

from restate_identity.asgi import RequestIdentityMiddleware

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")

# Under ASGI, Django reads the whole body of a request before it calls the first middleware of MIDDLEWARE, and writes a
# large one to disk. This guard refuses before Django is called. It takes its keys from RESTATE_IDENTITY_KEYS, too.
application = RequestIdentityMiddleware(
    get_asgi_application(),  # type: ignore[arg-type]  # django-stubs asks for a dict
    exempt_paths=settings.RESTATE_IDENTITY_EXEMPT_PATHS,
)

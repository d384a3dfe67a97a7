"""A Django project behind the Django middleware, for WSGI and ASGI servers, and behind the ASGI middleware as well."""

import os

from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application

from restate_identity.asgi import RequestIdentityMiddleware
from tests.support.apps.answer import EXEMPT, KEYS

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.support.apps.django_settings")

wsgi = get_wsgi_application()
asgi = get_asgi_application()
asgi_guarded = RequestIdentityMiddleware(
    asgi,  # type: ignore[arg-type]  # django-stubs asks for a dict
    identity_keys=KEYS,
    exempt_paths=EXEMPT,
)

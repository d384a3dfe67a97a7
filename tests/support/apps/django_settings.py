"""The settings of the Django project that the tests serve."""

from tests.support.apps.answer import EXEMPT, KEYS

SECRET_KEY = "made for tests"
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "tests.support.apps.django_urls"
INSTALLED_APPS = ["restate_identity.django"]
MIDDLEWARE = ["restate_identity.django.RequestIdentityMiddleware"]
RESTATE_IDENTITY_KEYS = KEYS
RESTATE_IDENTITY_EXEMPT_PATHS = EXEMPT
LOGGING_CONFIG = None
USE_TZ = True

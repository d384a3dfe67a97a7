import os

SECRET_KEY = os.environ["DJANGO_SECRET_KEY"]
ALLOWED_HOSTS = os.environ["DJANGO_ALLOWED_HOSTS"].split(",")
ROOT_URLCONF = "shop.urls"
USE_TZ = True
# Django also sets the time zone of the log. Compare it with the clock of the Restate server.
TIME_ZONE = "UTC"

INSTALLED_APPS = [
    # Its system checks report mistakes in the settings below: `python manage.py check`.
    "restate_identity.django",
]
MIDDLEWARE = [
    # Put it first, so that nothing else runs for a refused request.
    "restate_identity.django.RequestIdentityMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
]

# The keys come from the environment variable RESTATE_IDENTITY_KEYS, or from a setting of that name.
RESTATE_IDENTITY_EXEMPT_PATHS = ["/alive"]

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "INFO"},
}

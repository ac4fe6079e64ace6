"""Django's settings, for what is compared."""

INSTALLED_APPS = ["rest_framework"]
USE_TZ = True
SECRET_KEY = "of no use"

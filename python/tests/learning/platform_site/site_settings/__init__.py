"""A learning platform's settings. What differs between tests is in the environment."""

import json
import os

SECRET_KEY = "a secret of tests"
USE_TZ = True
TIME_ZONE = "UTC"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "apps.learning_plans"]
AUTH_USER_MODEL = "learning_plans.User"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {"default": json.loads(os.environ["PLATFORM_DATABASE"])}

# what the guide has a platform add, word by word
exec(compile(os.environ.get("PLATFORM_GUIDE", 'INSTALLED_APPS += ["tierkeep.learning"]'), "guide", "exec"))
TIERKEEP = {**globals().get("TIERKEEP", {}), **json.loads(os.environ.get("PLATFORM_TIERKEEP", "{}"))}

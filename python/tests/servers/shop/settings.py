"""The project's settings. What differs between tests is in the environment."""

import json
import os
from pathlib import Path

SECRET_KEY = "a secret of tests"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "shop.pages"
USE_TZ = True
INSTALLED_APPS = ["tierkeep.learning"] if "SHOP_NODE" in os.environ else []
TIERKEEP = {"NODE": os.environ.get("SHOP_NODE", ""), "TIMEOUT": 30.0, "CONNECT_TIMEOUT": 30.0}
if not TIERKEEP["NODE"]:
    del TIERKEEP["NODE"]

#: What is true, whatever a cache says.
PRICES = Path(os.environ["SHOP_PRICES"])

_table = os.environ["SHOP_TABLE"]
if os.environ.get("SHOP_SABOTAGE"):
    # The control: no process is told what the others write.
    _table = f"{_table}-{os.getpid()}"

CACHES = {
    "default": {
        "BACKEND": "tierkeep.django.Cache",
        "LOCATION": os.environ["SHOP_LOCATION"],
        "TIMEOUT": 600,
        "OPTIONS": {"GENERATIONS": _table, **json.loads(os.environ.get("SHOP_OPTIONS", "{}"))},
    }
}

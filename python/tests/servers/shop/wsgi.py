"""For gunicorn. With --preload all of this is done before it forks, and the threads go on in the parent while it does."""

import os
import threading

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")

from django.core.cache import caches
from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()

# The backend itself, and made here. `cache` goes through a lock of asgiref, and a thread that comes first imports the
# backend: who is forked while another thread holds either waits for it for ever, whatever the backend is.
backend = caches["default"]
backend.get("busy")


def busy() -> None:
    number = 0
    while True:
        number += 1
        backend.set(f"busy{number % 50}", {"n": [number], "object": complex(number)}, tags=["t"])
        backend.get(f"busy{number % 50}")
        backend.get_or_set(f"computed{number % 7}", lambda: number, 0.001)


if os.environ.get("SHOP_BUSY"):
    for _ in range(2):
        threading.Thread(target=busy, daemon=True).start()

"""Django's cache backend. In settings: `"BACKEND": "tierkeep.django.Cache"`.

As an application (`INSTALLED_APPS += ["tierkeep.django"]`) it adds system checks, and nothing else.
"""

from tierkeep.django.backend import Cache

__all__ = ["Cache"]

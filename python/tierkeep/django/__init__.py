"""Django's cache backend. In settings: `"BACKEND": "tierkeep.django.Cache"`."""

from tierkeep.django.backend import Cache

__all__ = ["Cache"]

"""Django for the tests of the backend: one process, a database and tables of generations in a folder of their own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import django
import pytest
from django.conf import settings

FOLDER = tempfile.TemporaryDirectory(prefix="tierkeep-tests-")

OURS = {
    "BACKEND": "tierkeep.django.Cache",
    "LOCATION": "tests",
    "OPTIONS": {"GENERATIONS": str(Path(FOLDER.name) / "table")},
}

settings.configure(
    SECRET_KEY="only for tests",
    ALLOWED_HOSTS=["*"],
    CACHES={"default": OURS, "locmem": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "tests"}},
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(Path(FOLDER.name) / "database")}},
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions"],
    ROOT_URLCONF="pages",
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
    USE_TZ=True,
)
django.setup()


@pytest.fixture(scope="session")
def database() -> Iterator[None]:
    """The tables of the installed applications."""
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    yield

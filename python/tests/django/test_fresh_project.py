"""A project as `django-admin startproject` makes it, on django-redis' settings with the changed line: its own tests pass."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "coherence"))
from coherence_servers import Server

#: What the project's developers wrote, and what their tests ask of it.
VIEWS = """
from django.core.cache import cache
from django.http import HttpResponse
from django.views.decorators.cache import cache_page

from school.models import Course

@cache_page(60)
def courses(request):
    return HttpResponse(", ".join(Course.objects.order_by("name").values_list("name", flat=True)))

def count(request):
    return HttpResponse(cache.get_or_set("courses:count", Course.objects.count, 300))

def visits(request):
    request.session["visits"] = request.session.get("visits", 0) + 1
    return HttpResponse(request.session["visits"])
"""
URLS = """
from school import views

urlpatterns += [path(f"{view.__name__}/", view) for view in (views.courses, views.count, views.visits)]
"""
MODELS = """
from django.core.cache import cache
from django.db import models
from django.db.models.signals import post_save
from django.dispatch import receiver

class Course(models.Model):
    name = models.CharField(max_length=50)

@receiver(post_save, sender=Course)
def forget(**_):
    cache.delete("courses:count")
"""
TESTS = """
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import TestCase

from school.models import Course

class CourseTests(TestCase):
    def setUp(self):
        cache.clear()

    def text(self, path):
        return self.client.get(path).content.decode()

    def test_page_is_kept(self):
        Course.objects.create(name="Algebra")
        self.assertEqual(self.text("/courses/"), "Algebra")
        Course.objects.create(name="Botany")
        self.assertEqual(self.text("/courses/"), "Algebra")
        cache.clear()
        self.assertEqual(self.text("/courses/"), "Algebra, Botany")

    def test_count_is_kept_until_a_course_is_saved(self):
        self.assertEqual(self.text("/count/"), "0")
        Course.objects.bulk_create([Course(name="unseen")])
        self.assertEqual(self.text("/count/"), "0")
        Course.objects.create(name="Algebra")
        self.assertEqual(self.text("/count/"), "2")

    def test_rows_are_kept_with_their_types(self):
        course = Course.objects.create(name="Algebra")
        cache.set("course", course, 60)
        cache.set("all", Course.objects.all(), 60)
        self.assertEqual(cache.get("course"), course)
        self.assertEqual(list(cache.get("all")), [course])

    def test_login_is_remembered(self):
        self.client.force_login(User.objects.create_user("ada"))
        self.assertEqual([self.text("/visits/") for _ in range(3)], ["1", "2", "3"])
        self.client.logout()
        self.assertEqual(self.text("/visits/"), "1")

    async def test_async_view_code(self):
        await cache.aset("a", {"b": [1]})
        self.assertEqual(await cache.aget("a"), {"b": [1]})
"""
#: The change, over what django-redis' users have.
SETTINGS = """
CACHES = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": __import__("os").environ["SCHOOL_CACHE"],
        "KEY_PREFIX": "school",
        "TIMEOUT": 600,
        "OPTIONS": {"CLIENT_CLASS": "django_redis.client.DefaultClient", "SOCKET_TIMEOUT": 20},
    }
}
SESSION_ENGINE = "django.contrib.sessions.backends.cached_db"
INSTALLED_APPS += ["school"]

CACHES["default"]["BACKEND"] = "tierkeep.django.Cache"
"""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with Server("redis") as server:
        yield server.url


@pytest.fixture
def project(tmp_path: Path) -> Path:
    django(tmp_path, "startproject", "site_of_a_school", ".")
    django(tmp_path, "startapp", "school")
    for name, text in {"views": VIEWS, "models": MODELS, "tests": TESTS}.items():
        (tmp_path / "school" / f"{name}.py").write_text(textwrap.dedent(text))
    settings = tmp_path / "site_of_a_school" / "settings.py"
    settings.write_text(settings.read_text() + SETTINGS)
    urls = tmp_path / "site_of_a_school" / "urls.py"
    urls.write_text(urls.read_text() + URLS)
    return tmp_path


def django(folder: Path, *arguments: str, **environment: str) -> str:
    program = [sys.executable, "manage.py"] if (folder / "manage.py").exists() else [sys.executable, "-m", "django"]
    done = subprocess.run(
        [*program, *arguments],
        cwd=folder,
        env={key: value for key, value in os.environ.items() if key != "DJANGO_SETTINGS_MODULE"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_its_own_tests_pass(project: Path, url: str) -> None:
    django(project, "makemigrations", "school", SCHOOL_CACHE=url)
    told = django(project, "check", SCHOOL_CACHE=url)
    assert "no issues" in told, told

    told = django(project, "test", SCHOOL_CACHE=url)

    assert "Ran 5 tests" in told and "OK" in told, told


def test_a_wrong_address_is_told_by_the_check(project: Path) -> None:
    with pytest.raises(AssertionError, match="SCHOOL|LOCATION|address"):
        django(project, "check", SCHOOL_CACHE="redys://localhost")

"""Every block of Python in the pages of docs/python that are listed here runs as printed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGES = ROOT / "docs" / "python"


def blocks(page: str) -> list[str]:
    """The blocks of Python, each after as many empty lines as it stands below, so that errors name the page's lines."""
    text = (PAGES / page).read_text()
    found = re.finditer(r"```python\n(.*?)```", text, re.S)
    return ["\n" * text[: block.start(1)].count("\n") + block[1] for block in found]


def run(code: list[str], page: str, before: str = "") -> None:
    script = before + "\n".join(f"exec(compile({block!r}, {page!r}, 'exec'), globals())" for block in code)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == 0, done.stderr


def test_page_of_the_cache_runs() -> None:
    code = blocks("README.md")

    assert len(code) >= 7
    run(code, "README.md")


def test_page_of_deployment_runs() -> None:
    code = blocks("deployment.md")

    assert len(code) >= 1
    run(code, "deployment.md")


def test_page_of_django_redis_runs_with_the_settings_it_shows() -> None:
    code = blocks("django-redis.md")
    testkit = os.environ.get("TIERKEEP_TESTKIT", ROOT / "target" / "debug" / "tierkeep-testkit")
    server = subprocess.Popen([testkit, "redis"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdin is not None and server.stdout is not None
    try:
        address = server.stdout.readline().strip().replace("redis+unix://", "unix://")
        settings, *rest = [block.replace("redis://127.0.0.1:6379/1", address) for block in code]

        assert len(rest) >= 2
        setup = f"exec({settings!r})\nfrom django.conf import settings\n"
        run(rest, "django-redis.md", setup + "settings.configure(CACHES=CACHES, SECRET_KEY='s')\n")
    finally:
        server.stdin.close()
        server.wait(30)


def test_page_that_says_what_is_not_so_is_found() -> None:
    with pytest.raises(AssertionError, match=r'File "README.md", line 3'):
        run(["\n\nassert 1 == 2"], "README.md")


def links() -> Iterator[tuple[str, str]]:
    for page in sorted(PAGES.glob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            yield page.name, target


@pytest.mark.parametrize(("page", "target"), list(links()))
def test_link_leads_to_a_file(page: str, target: str) -> None:
    assert os.path.exists(PAGES / target)

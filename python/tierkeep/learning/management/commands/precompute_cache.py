"""``manage.py precompute_cache``: what ``tierkeep precompute`` does, on Django's database."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from tierkeep.learning.management.program_command import ProgramCommand


class Command(ProgramCommand):
    """Brings stored summaries up to date, and answers about many learners into Redis, before anybody asks."""

    help = "Bring stored summaries up to date, and answers about many learners into Redis, before anybody asks."

    def add_arguments(self, parser: CommandParser) -> None:
        """The program's flags."""
        super().add_arguments(parser)
        parser.add_argument("--precompute-cache", action="store_true", help="What the command does anyway")
        parser.add_argument(
            "--active-users-only",
            action="store_true",
            help="Only learners with a session in the last --days-active days",
        )
        parser.add_argument("--days-active", type=int, metavar="N", help="How many local days, 1 to 36500 (7)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Runs it."""
        arguments = ["--active-users-only"] if options["active_users_only"] else []
        if options["days_active"] is not None:
            arguments.append(f"--days-active={options['days_active']}")
        self.run_program("precompute-cache", arguments, options)

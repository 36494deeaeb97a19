"""``manage.py cleanup_learning_data``: what ``tierkeep cleanup`` does, on Django's database."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from tierkeep.learning.management.program_command import ProgramCommand

_PHASES = ("invalid", "archive", "delete", "purge", "optimize")


class Command(ProgramCommand):
    """Puts invalid rows into quarantine, archives old sessions, exports and deletes older ones."""

    help = "Put invalid rows into quarantine, archive old sessions, export and delete older ones."

    def add_arguments(self, parser: CommandParser) -> None:
        """The program's flags."""
        super().add_arguments(parser)
        parser.add_argument("--dry-run", action="store_true", help="Say what would be done, and write nothing")
        parser.add_argument("--cleanup-invalid", action="store_true", help="Only put invalid rows into quarantine")
        parser.add_argument("--only", action="append", choices=_PHASES, help="Only this phase (repeatable)")
        parser.add_argument(
            "--archive-older-than", type=int, metavar="DAYS", help="Archive sessions that began so many days ago (365)"
        )
        parser.add_argument(
            "--delete-older-than",
            type=int,
            metavar="DAYS",
            help="Delete archived ones that began so many days ago (1095)",
        )
        parser.add_argument("--batch-size", type=int, metavar="N", help="Rows of every batch, 1 to 50000")
        parser.add_argument(
            "--max-seconds", type=int, metavar="N", help="End after so many seconds; the next run goes on"
        )
        parser.add_argument("--wait", type=int, metavar="S", help="Wait so many seconds for another run to end (60)")
        parser.add_argument("--export", metavar="DIR", help="Export rows to this directory before they are deleted")
        parser.add_argument("--no-export", action="store_true", help="Delete without an export")
        parser.add_argument("--force", action="store_true", help="Carry out a plan that a guard refuses")

    def handle(self, *args: Any, **options: Any) -> None:
        """Runs it."""
        arguments: list[str] = []
        for flag in ("dry_run", "cleanup_invalid", "no_export", "force"):
            if options[flag]:
                arguments.append(f"--{flag.replace('_', '-')}")
        for flag in ("archive_older_than", "delete_older_than", "batch_size", "max_seconds", "wait", "export"):
            if options[flag] is not None:
                arguments.append(f"--{flag.replace('_', '-')}={options[flag]}")
        for phase in options["only"] or ():
            arguments.append(f"--only={phase}")
        self.run_program("cleanup", arguments, options)

"""A management command that is a command of the program, on a database of ``settings.DATABASES``."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DEFAULT_DB_ALIAS, connections

from tierkeep.learning import program
from tierkeep.learning.configuration import configuration

_MEANING = {2: "wrong usage", 3: "refused by a guard", 4: "stopped early, and can be continued"}


class ProgramCommand(BaseCommand):
    """Runs the program, so that what it promises is promised once."""

    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """What every such command takes."""
        parser.add_argument("--database", default=DEFAULT_DB_ALIAS, help="Which of settings.DATABASES")
        parser.add_argument("--json", action="store_true", help="Write JSON to stdout, and nothing else there")

    def run_program(self, command: str, arguments: list[str], options: dict[str, Any]) -> None:
        """Raises CommandError with the program's exit code as ``returncode`` when that is not 0."""
        settings = configuration()
        alias = options["database"]
        if alias not in connections.settings:
            raise CommandError(f"settings.DATABASES has no {alias!r}")
        connection = connections[alias]
        if connection.in_atomic_block:
            raise CommandError(
                "a transaction is open, and another program does not see what it wrote; "
                "in a test use TransactionTestCase"
            )
        try:
            url = program.database_url(connection.settings_dict)
            path = program.find(settings.binary)
        except (program.DatabaseRefused, program.ProgramMissing) as error:
            raise CommandError(str(error)) from None
        if connection.vendor == "sqlite":
            connection.close()  # its lock would keep the program waiting
        # in the environment and not among the arguments, which other users of the machine can see
        environment = {"TIERKEEP_DATABASE_URL": url}
        if settings.config is not None:
            environment["TIERKEEP_CONFIG"] = settings.config
        flags = ["--json"] if options["json"] else []
        code, last = program.run([path, command, *flags, *arguments], environment, self.stdout.write, self.stderr.write)
        if code != 0:
            meaning = _MEANING.get(code, f"exit code {code}")
            raise CommandError(f"tierkeep {command}: {meaning}" + (f"\n{last}" if last else ""), returncode=code)

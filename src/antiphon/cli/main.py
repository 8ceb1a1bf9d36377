"""The program `antiphon`: its commands, and what becomes of errors."""

from __future__ import annotations

from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from antiphon import __version__
from antiphon.cli import database, deletions, keys, models, receipts, tenants
from antiphon.cli.delete import delete
from antiphon.cli.doctor import doctor
from antiphon.cli.export import export
from antiphon.cli.output import complain
from antiphon.cli.parts import Parts
from antiphon.cli.serve import serve
from antiphon.cli.settings import show_settings
from antiphon.cli.worker import worker
from antiphon.domain.errors import AntiphonError
from antiphon.settings import BadSetting

FAILED, MISUSED = 1, 2
"""The exit statuses: it could not be done; it was asked for wrongly."""


class Program(TyperGroup):
    """All commands. What goes wrong ends in one line on standard error and an exit status."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except BadSetting as error:
            complain(str(error))
            raise typer.Exit(MISUSED) from None
        except AntiphonError as error:
            complain(error.message)
            raise typer.Exit(FAILED) from None


program = typer.Typer(
    name="antiphon",
    cls=Program,
    help="A conversation server that keeps every word until you ask it to forget.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
program.command()(serve)
program.command()(worker)
program.command()(delete)
program.command()(export)
program.command()(doctor)
program.add_typer(tenants.commands, name="tenants")
program.add_typer(keys.commands, name="keys")
program.add_typer(deletions.commands, name="deletions")
program.add_typer(receipts.commands, name="receipts")
program.add_typer(database.commands, name="db")
program.add_typer(models.commands, name="models")
program.command("settings")(show_settings)


@program.command()
def version() -> None:
    """Print the version."""
    print(__version__)


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        version()
        raise typer.Exit


@program.callback()
def options(
    show_version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """A conversation server that keeps every word until you ask it to forget."""


def run(parts: Parts) -> NoReturn:
    """Do what the command line says, and end the process."""
    program(obj=parts)
    raise AssertionError("the program ends by itself")

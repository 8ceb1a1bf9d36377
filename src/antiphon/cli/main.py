"""The program `antiphon`: its commands, and what becomes of errors."""

from __future__ import annotations

import os
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from antiphon import __version__
from antiphon.cli import chats, database, deletions, keys, models, receipts, tenants
from antiphon.cli.delete import delete
from antiphon.cli.doctor import doctor
from antiphon.cli.export import export
from antiphon.cli.imports import import_file
from antiphon.cli.move import move
from antiphon.cli.output import complain
from antiphon.cli.parts import NOT_ELSEWHERE, Parts, remember_address
from antiphon.cli.serve import serve
from antiphon.cli.settings import show_settings
from antiphon.cli.worker import worker
from antiphon.domain.errors import AntiphonError
from antiphon.settings import KEY_VARIABLE, URL_VARIABLE, BadSetting, read_address

FAILED, MISUSED = 1, 2
"""The exit statuses: it could not be done; it was asked for wrongly."""


OF_THE_MACHINE = frozenset({"db", "doctor", "models", "move", "serve", "settings", "version", "worker"})
"""What no other server can be asked for."""


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
program.command("import")(import_file)
program.command()(move)
program.command()(doctor)
program.add_typer(tenants.commands, name="tenants")
program.add_typer(keys.commands, name="keys")
program.add_typer(chats.commands, name="chats")
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
    context: typer.Context,
    url: Annotated[
        str | None,
        typer.Option("--url", metavar="URL", help=f"Ask this server [{URL_VARIABLE}].", show_default=False),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            "--key", metavar="KEY", help=f"Its key; others see it here, use {KEY_VARIABLE}.", show_default=False
        ),
    ] = None,
    _is_version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """A conversation server that keeps every word until you ask it to forget."""
    if url is None and key is None and context.invoked_subcommand in OF_THE_MACHINE:
        return  # what the variables say is for the others
    address = read_address(os.environ, url, key)
    if address is not None and context.invoked_subcommand in OF_THE_MACHINE:
        raise BadSetting(f"antiphon {context.invoked_subcommand}: {NOT_ELSEWHERE}")
    remember_address(context, address)


def run(parts: Parts) -> NoReturn:
    """Do what the command line says, and end the process."""
    program(obj=parts)
    raise AssertionError("the program ends by itself")

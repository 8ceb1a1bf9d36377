"""`antiphon models`: the local model's weights."""

from __future__ import annotations

import sys

import typer
from rich.console import Console

from antiphon.cli.output import complain
from antiphon.cli.parts import parts_of

commands = typer.Typer(help="The local model.", no_args_is_help=True)


@commands.callback()
def group() -> None:
    """The local model."""


@commands.command()
def install(context: typer.Context) -> None:
    """Fetch and check the weights of the local model, if they are not there yet."""
    parts = parts_of(context)
    if not sys.stderr.isatty():
        parts.install_models(complain)
        return
    with Console(stderr=True).status("looking for the local model") as status:
        parts.install_models(status.update)

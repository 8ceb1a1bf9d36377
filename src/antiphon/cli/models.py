"""`antiphon models`: the weights of the local models."""

from __future__ import annotations

import sys

import typer
from rich.console import Console

from antiphon.cli.output import complain
from antiphon.cli.parts import parts_of

commands = typer.Typer(help="The local models.", no_args_is_help=True)


@commands.callback()
def group() -> None:
    """The local models."""


@commands.command()
def install(context: typer.Context) -> None:
    """Fetch and check the weights of the local model and of the local embeddings, if they are not there yet."""
    parts = parts_of(context)
    if not sys.stderr.isatty():
        parts.install_models(complain)
        return
    with Console(stderr=True).status("looking for the local models") as status:
        parts.install_models(status.update)

"""`antiphon serve`: the options of a server; `serving` does what they say."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from antiphon.cli.parts import DatabaseUrl, DataDir, parts_of
from antiphon.settings import check_openness, read_settings

Embeddings = Annotated[
    str | None, typer.Option(metavar="auto|off", help="Search by meaning [auto].", show_default=False)
]
EmbeddingsUrl = Annotated[
    str | None,
    typer.Option(metavar="URL", help="An OpenAI-compatible server for it [the local model].", show_default=False),
]
EmbeddingsModel = Annotated[
    str | None, typer.Option(metavar="NAME", help="Which model makes its vectors.", show_default=False)
]


def serve(
    context: typer.Context,
    host: Annotated[str | None, typer.Option(help="Address to listen on [127.0.0.1].", show_default=False)] = None,
    port: Annotated[
        str | None, typer.Option(metavar="NUMBER", help="Port; 0 takes a free one [8000].", show_default=False)
    ] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    model_url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="An OpenAI-compatible server [the local model].", show_default=False),
    ] = None,
    model: Annotated[str | None, typer.Option(metavar="NAME", help="Which model to ask.", show_default=False)] = None,
    agent: Annotated[
        str | None,
        typer.Option(metavar="openai|pydantic-ai", help="Who asks the model [openai].", show_default=False),
    ] = None,
    tools: Annotated[
        str | None, typer.Option(metavar="on|off", help="Offer tools to the model [on].", show_default=False)
    ] = None,
    sandbox: Annotated[
        str | None, typer.Option(metavar="on|off", help="Give sessions sandboxes [on].", show_default=False)
    ] = None,
    embeddings: Embeddings = None,
    embeddings_url: EmbeddingsUrl = None,
    embeddings_model: EmbeddingsModel = None,
    auth: Annotated[
        str | None, typer.Option(metavar="on|off", help="off: no keys, on loopback only [on].", show_default=False)
    ] = None,
    webhook_private: Annotated[
        str | None,
        typer.Option(metavar="refuse|allow", help="Webhooks to private addresses [refuse].", show_default=False),
    ] = None,
    rest_rate_limit: Annotated[
        str | None,
        typer.Option(metavar="NUMBER", help="Lexicon's and native requests a minute; 0: no limit.", show_default=False),
    ] = None,
    log_level: Annotated[
        str | None, typer.Option(metavar="LEVEL", help="debug, info, warning or error [info].", show_default=False)
    ] = None,
    forwarded_allow_ips: Annotated[
        str | None,
        typer.Option(metavar="LIST", help="Proxies whose X-Forwarded headers count [none].", show_default=False),
    ] = None,
    cors_origins: Annotated[
        str | None,
        typer.Option(metavar="LIST", help="Origins whose pages may read answers [none].", show_default=False),
    ] = None,
) -> None:
    """Run the server until it is told to stop (SIGTERM or Ctrl-C).

    Every option is also a variable: --data-dir is ANTIPHON_DATA_DIR. Keys and secrets are variables only.
    """
    given = {name: value for name, value in locals().items() if name != "context"}
    settings = read_settings(os.environ, given)
    check_openness(settings)
    # lazy: the HTTP server and its loop take a tenth of a second, which no other command should wait for
    from antiphon.cli.serving import serve_until_stopped

    serve_until_stopped(parts_of(context), settings)

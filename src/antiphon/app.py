"""The composition root: the only module that knows which store, which agent and which dialects there are."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from antiphon.cli.main import run
from antiphon.cli.parts import Parts, Say, Served
from antiphon.core.instance import Instance, no_tools
from antiphon.core.messages import TokenCounter
from antiphon.core.ports import Agent, Store
from antiphon.core.ports.embeddings import Embedder
from antiphon.core.ports.sandboxes import SandboxProvider
from antiphon.core.ports.signing import Keyring, Verifier
from antiphon.core.ports.streams import Streams
from antiphon.core.ports.webhooks import Sender
from antiphon.core.tools import Tools
from antiphon.core.turns import ToolsOf
from antiphon.domain import limits
from antiphon.domain.errors import StoreFailed
from antiphon.domain.receipts import SigningKey
from antiphon.settings import OFF, PYDANTIC_AI, BadSetting, Settings
from antiphon.stores.scan import files_of, scan

_LOCAL_MODEL = "SmolLM2-135M-Instruct"
_UNNAMED_MODEL = "default"
_JWT_SECRET_FILE = "jwt_secret"  # noqa: S105  the name of a file
_NO_DRIVER = "PostgreSQL needs the extra: pip install 'antiphon[postgres]'"


def _start_logs(settings: Settings) -> None:
    from antiphon.api.logs import start_logs  # lazy: only a server keeps a log

    start_logs(sys.stderr, settings.log_level)


async def _open_store(settings: Settings) -> Store:
    if settings.database_url is not None:
        try:
            from antiphon.stores.postgres.store import PostgresStore  # optional: its driver is an extra
        except ModuleNotFoundError:
            raise StoreFailed(_NO_DRIVER) from None
        return await PostgresStore.open(settings.database_url)
    from antiphon.stores.sqlite.store import SqliteStore  # lazy: not every command needs a database

    return await SqliteStore.open(settings.data_dir)


def _make_streams(store: Store) -> Streams:
    from antiphon.streams.live import LiveStreams  # lazy: only a server has streams

    return LiveStreams(store)


def _make_agent(settings: Settings, say: Say) -> Agent:
    if settings.agent == PYDANTIC_AI:
        return _make_pydantic_agent(settings)
    from antiphon.agent.local import LocalAgent  # lazy: only a server has an agent
    from antiphon.agent.openai_chat import OpenAiAgent  # lazy: its HTTP client takes a tenth of a second

    if settings.model_url is None:
        return LocalAgent(on_progress=say)
    return OpenAiAgent(settings.model_url, settings.model_key, settings.model)


def _make_pydantic_agent(settings: Settings) -> Agent:
    try:
        from antiphon.agent.pydantic_agent import PydanticAgent  # optional: the library is an extra
    except ModuleNotFoundError:
        raise BadSetting("ANTIPHON_AGENT=pydantic-ai needs the extra: pip install 'antiphon[agent]'") from None
    if settings.model is None and settings.model_url is None:
        raise BadSetting("ANTIPHON_AGENT=pydantic-ai needs ANTIPHON_MODEL=PROVIDER:MODEL, or ANTIPHON_MODEL_URL")
    return PydanticAgent(settings.model, settings.model_url, settings.model_key)


def _make_tools(settings: Settings, store: Store) -> ToolsOf:
    return Tools(store).for_chat if settings.tools == "on" else no_tools


def _make_sandboxes(settings: Settings) -> SandboxProvider:
    from antiphon.sandbox.bubblewrap import BubblewrapSandboxes  # lazy: not every command needs them

    return BubblewrapSandboxes(settings.data_dir)


def _make_embedder(settings: Settings) -> Embedder | None:
    """None where nobody makes vectors: searches are full text then."""
    from antiphon.embedding import weights  # lazy: only a server makes vectors

    if settings.embeddings == OFF:
        return None
    if settings.embeddings_url is not None:
        from antiphon.embedding.openai import OpenAiEmbedder  # lazy: its HTTP client takes a tenth of a second

        return OpenAiEmbedder(settings.embeddings_url, settings.embeddings_key, settings.embeddings_model)
    if not (weights.has_engine() and weights.is_installed()):
        return None
    from antiphon.embedding.local import LocalEmbedder  # optional: its engine is an extra

    return LocalEmbedder()


def _make_sender(settings: Settings) -> Sender:
    from antiphon.webhooks.sender import HttpSender  # lazy: its HTTP client takes a tenth of a second

    return HttpSender(allow_private=settings.webhook_private == "allow")


def _webhook_secret(settings: Settings) -> str:
    from antiphon.webhooks.secret_file import read_or_make  # lazy: only a server has webhooks

    return settings.webhook_secret or read_or_make(settings.data_dir)


def _model_name(settings: Settings) -> str:
    """The name shown for a chat without a model of its own. One that is not set is looked up at the first answer."""
    is_local = settings.model_url is None and settings.agent != PYDANTIC_AI
    return _LOCAL_MODEL if is_local else settings.model or _UNNAMED_MODEL


async def _warm_up(agent: Agent) -> None:
    from antiphon.agent.local import LocalAgent  # lazy: only a server has an agent

    if isinstance(agent, LocalAgent):
        await agent.warm_up()


def _token_counter() -> TokenCounter:
    """The counter; its vocabulary is read meanwhile in a thread, so that the first message need not wait for it."""
    from antiphon.agent.tokens import count_tokens  # lazy: only a server counts

    threading.Thread(target=count_tokens, args=("",), name="antiphon-tokens", daemon=True).start()
    return count_tokens


def _build_server(instance: Instance, settings: Settings) -> Served:
    """All dialects, which take a third of a second to import together."""
    from antiphon.api.cross_origin import CrossOrigin  # lazy: only a server has dialects
    from antiphon.api.honcho.routes import DOCUMENT_PATH, Honcho  # lazy: only a server has dialects
    from antiphon.api.lexicon.routes import Lexicon  # lazy: only a server has dialects
    from antiphon.api.lexicon.socket import ChatSocket  # lazy: only a server has dialects
    from antiphon.api.metrics import Metrics  # lazy: only a server has dialects
    from antiphon.api.native.routes import SOCKET_PATH, Native  # lazy: only a server has dialects
    from antiphon.api.recoup.routes import Recoup  # lazy: only a server has dialects
    from antiphon.api.server import Server  # lazy: only a server has dialects
    from antiphon.api.system.routes import System  # lazy: only a server has dialects
    from antiphon.webhooks.secret_file import read_or_make  # lazy: only a server has tokens

    metrics = Metrics()
    given = settings.rest_rate_limit
    lexicon = Lexicon(instance, limits.LEXICON_REQUESTS_PER_MINUTE if given is None else given)
    native = Native(instance, limits.NATIVE_REQUESTS_PER_MINUTE if given is None else given)
    honcho = Honcho(instance, settings.jwt_secret or read_or_make(settings.data_dir, _JWT_SECRET_FILE))
    sockets = ChatSocket(instance)
    dialects = {
        "/antiphon/v1": native,
        "/api": Recoup(instance),
        "/api/v1": lexicon,
        "/ws": lexicon,
        "/v3": honcho,
        DOCUMENT_PATH: honcho,
        "": System(instance, metrics),
    }

    async def close_sockets(grace_seconds: float) -> None:
        await asyncio.gather(sockets.close_all(grace_seconds), native.sockets.close_all(grace_seconds))

    server = Server(dialects, {"/ws/chat": sockets, SOCKET_PATH: native.sockets}, metrics)
    return Served(CrossOrigin(server, settings.cors_origins) if settings.cors_origins else server, close_sockets)


def _install_models(say: Say) -> None:
    from antiphon.agent import models  # lazy: only this command needs it
    from antiphon.embedding import weights  # lazy: likewise

    models.install(say)
    weights.install(say, models.install_lock)


def _make_keyring(settings: Settings) -> Keyring:
    from antiphon.signing.ed25519 import FileKeyring  # lazy: not every command needs cryptography

    return FileKeyring(settings.data_dir)


def _make_verifier() -> Verifier:
    from antiphon.signing.ed25519 import verify_signature  # lazy: not every command needs cryptography

    return verify_signature


def _read_public_keys(content: bytes) -> list[SigningKey]:
    from antiphon.signing.ed25519 import read_public_keys  # lazy: not every command needs cryptography

    return read_public_keys(content)


def _scan_files(data_dir: Path, needles: Sequence[bytes]) -> list[tuple[int, str, int]]:
    return [(hit.needle, hit.file, hit.offset) for hit in scan(files_of(data_dir), needles)]


async def _distribute(settings: Settings, is_dry: bool, tell: Callable[[Mapping[str, str]], None]) -> None:
    if settings.database_url is None:
        raise StoreFailed(
            "a SQLite database is one file and cannot be distributed: "
            "name the coordinator by ANTIPHON_DATABASE_URL or --database-url"
        )
    try:
        from antiphon.stores.postgres.distribution import Step, distribute  # optional: its driver is an extra
    except ModuleNotFoundError:
        raise StoreFailed(_NO_DRIVER) from None

    def on_step(step: Step) -> None:
        state = "already" if step.is_done else "planned" if is_dry else "done"
        tell({"table": step.table, "kind": step.kind, "statement": step.statement, "state": state})

    await distribute(settings.database_url, is_dry=is_dry, on_step=on_step)


async def _move(data_dir: Path, url: str, tell: Callable[[str, str, int, int], None]) -> None:
    from antiphon.stores.sqlite.moving import open_source  # lazy: only this command needs it

    try:
        from antiphon.stores.postgres.moving import move  # optional: its driver is an extra
    except ModuleNotFoundError:
        raise StoreFailed(_NO_DRIVER) from None
    with open_source(data_dir) as source:
        await move(url, source, tell)


PARTS = Parts(
    start_logs=_start_logs,
    open_store=_open_store,
    make_streams=_make_streams,
    make_agent=_make_agent,
    make_tools=_make_tools,
    make_sandboxes=_make_sandboxes,
    make_embedder=_make_embedder,
    make_sender=_make_sender,
    webhook_secret=_webhook_secret,
    model_name=_model_name,
    warm_up=_warm_up,
    token_counter=_token_counter,
    build_server=_build_server,
    install_models=_install_models,
    make_keyring=_make_keyring,
    make_verifier=_make_verifier,
    scan_files=_scan_files,
    read_public_keys=_read_public_keys,
    distribute=_distribute,
    move=_move,
)
"""What the commands work with."""


def main() -> None:
    """The program `antiphon`."""
    run(PARTS)

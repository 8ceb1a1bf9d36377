"""The composition root: the only module that knows which store, which agent and which dialects there are."""

from __future__ import annotations

import sys
import threading

from antiphon.cli.main import run
from antiphon.cli.parts import Parts, Say, Served
from antiphon.core.instance import Instance
from antiphon.core.messages import TokenCounter
from antiphon.core.ports import Agent, Store
from antiphon.domain.errors import StoreFailed
from antiphon.settings import Settings

_LOCAL_MODEL = "SmolLM2-135M-Instruct"
_UNNAMED_MODEL = "default"


def _start_logs(settings: Settings) -> None:
    from antiphon.api.logs import start_logs  # lazy: only a server keeps a log

    start_logs(sys.stderr, settings.log_level)


async def _open_store(settings: Settings) -> Store:
    if settings.database_url is not None:
        try:
            from antiphon.stores.postgres.store import PostgresStore  # optional: its driver is an extra
        except ModuleNotFoundError:
            raise StoreFailed("PostgreSQL needs the extra: pip install 'antiphon[postgres]'") from None
        return await PostgresStore.open(settings.database_url)
    from antiphon.stores.sqlite.store import SqliteStore  # lazy: not every command needs a database

    return await SqliteStore.open(settings.data_dir)


def _make_agent(settings: Settings, say: Say) -> Agent:
    from antiphon.agent.local import LocalAgent  # lazy: only a server has an agent
    from antiphon.agent.openai_chat import OpenAiAgent  # lazy: its HTTP client takes a tenth of a second

    if settings.model_url is None:
        return LocalAgent(on_progress=say)
    return OpenAiAgent(settings.model_url, settings.model_key, settings.model)


def _model_name(settings: Settings) -> str:
    """The name shown for a chat without a model of its own. One that is not set is looked up at the first answer."""
    return _LOCAL_MODEL if settings.model_url is None else settings.model or _UNNAMED_MODEL


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
    from antiphon.api.honcho.routes import Honcho  # lazy: only a server has dialects
    from antiphon.api.lexicon.routes import Lexicon  # lazy: only a server has dialects
    from antiphon.api.lexicon.socket import ChatSocket  # lazy: only a server has dialects
    from antiphon.api.metrics import Metrics  # lazy: only a server has dialects
    from antiphon.api.recoup.routes import Recoup  # lazy: only a server has dialects
    from antiphon.api.server import Server  # lazy: only a server has dialects
    from antiphon.api.system.routes import System  # lazy: only a server has dialects

    metrics = Metrics()
    lexicon = Lexicon(instance, settings.rest_rate_limit)
    sockets = ChatSocket(instance)
    dialects = {
        "/api": Recoup(instance),
        "/api/v1": lexicon,
        "/ws": lexicon,
        "/v3": Honcho(instance),
        "": System(instance, metrics),
    }
    return Served(Server(dialects, {"/ws/chat": sockets}, metrics), sockets.close_all)


def _install_models(say: Say) -> None:
    from antiphon.agent import models  # lazy: only this command needs it

    models.install(say)


PARTS = Parts(
    start_logs=_start_logs,
    open_store=_open_store,
    make_agent=_make_agent,
    model_name=_model_name,
    warm_up=_warm_up,
    token_counter=_token_counter,
    build_server=_build_server,
    install_models=_install_models,
)
"""What the commands work with."""


def main() -> None:
    """The program `antiphon`."""
    run(PARTS)

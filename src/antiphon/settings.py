"""Settings: read once, from the command line and the environment, into one frozen value.

Each field is the option `--<field-with-hyphens>` of `antiphon serve` and the variable `ANTIPHON_<FIELD>`; the option
wins. A variable that is set but blank counts as absent. docs/reference/settings.md says what each is for.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

PREFIX = "ANTIPHON_"
SECRETS = frozenset({"model_key", "embeddings_key", "jwt_secret", "webhook_secret"})
"""Fields whose value is never shown."""

OPTION, ENVIRONMENT, DEFAULT = "option", "environment", "default"
"""Where a value can come from."""

OPENAI, PYDANTIC_AI = "openai", "pydantic-ai"
"""The values of `agent`: who asks the model."""

AUTO, OFF = "auto", "off"
"""The values of `embeddings`: by the URL, else by the local model where it is installed; or none at all."""

URL_VARIABLE, KEY_VARIABLE = "ANTIPHON_URL", "ANTIPHON_KEY"
"""Not a server's settings: where the commands find another server, and the key that they show it."""

_INTERNAL = frozenset({"ANTIPHON_LOCAL_MODEL_KEY"})  # handed to the process of the local model, by us
_NOT_REPEATED = SECRETS | {"database_url", "model_url", "embeddings_url"}  # a URL may hold a password
_LOG_LEVELS = ("debug", "info", "warning", "error")
_PORT_MAX = 65_535
_SECRET_CHARACTERS_MIN = 24
_DIGITS_MAX = 9


class BadSetting(Exception):
    """A setting has a value that is not allowed; the text names the variable, the option and what is allowed."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a server was told. None and empty mean: not set."""

    data_dir: Path
    host: str = "127.0.0.1"
    port: int = 8000
    database_url: str | None = None
    model_url: str | None = None
    model_key: str | None = None
    model: str | None = None
    agent: str = OPENAI
    tools: str = "on"
    sandbox: str = "on"
    embeddings: str = AUTO
    embeddings_url: str | None = None
    embeddings_key: str | None = None
    embeddings_model: str | None = None
    auth: str = "on"
    jwt_secret: str | None = None
    webhook_secret: str | None = None
    webhook_private: str = "refuse"
    rest_rate_limit: int | None = None  # None: each wire has a limit of its own
    log_level: str = "info"
    forwarded_allow_ips: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()

    @property
    def imports_dir(self) -> Path:
        """Where files wait until they are imported: servers and workers of one data directory share it."""
        return self.data_dir / "imports"


@dataclass(frozen=True, kw_only=True)
class Address:
    """A server elsewhere: the URL without a slash at its end, and a key. `is_option`: it was given on the command line.

    The key is never shown.
    """

    url: str
    key: str | None = dataclasses.field(default=None, repr=False)
    is_option: bool = False


FIELDS = tuple(field.name for field in dataclasses.fields(Settings))
"""The names of all settings."""


def variable_of(field: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + field.upper()


def option_of(field: str) -> str:
    """The command line option of a setting."""
    return "--" + field.replace("_", "-")


def read_settings(environ: Mapping[str, str], overrides: Mapping[str, str | None] | None = None) -> Settings:
    """The settings of an environment; `overrides` are the options given on the command line, None for the others.

    Raises BadSetting. Variables that are not known are left to `unknown_variables`.
    """
    values: dict[str, Any] = {}
    for field, (text, _) in _texts(environ, overrides or {}).items():
        try:
            values[field] = _PARSERS.get(field, str)(text)
        except ValueError as error:
            shown = "" if field in _NOT_REPEATED else f", not {text!r}"
            raise BadSetting(f"{variable_of(field)} ({option_of(field)}) must be {error}{shown}") from None
    values.setdefault("data_dir", _default_data_dir(environ))
    return Settings(**values)


def read_address(environ: Mapping[str, str], url: str | None, key: str | None) -> Address | None:
    """The server that the commands are to speak to, of the options `--url` and `--key` or else the variables.

    None: this machine. Raises BadSetting, without the key and without the URL, which may hold a password.
    """
    text = (environ.get(URL_VARIABLE, "") if url is None else url).strip()
    secret = (environ.get(KEY_VARIABLE, "") if key is None else key).strip()
    if not text:
        if key is not None:
            raise BadSetting(f"--key ({KEY_VARIABLE}) is the key of the server of --url ({URL_VARIABLE}), and needs it")
        if url is not None:
            raise BadSetting(f"--url ({URL_VARIABLE}) must be a URL")
        return None
    try:
        parts = urlsplit(_url(text))
        is_plain = "@" not in parts.netloc and not parts.query and not parts.fragment and parts.port != 0
    except ValueError as error:
        raise BadSetting(f"--url ({URL_VARIABLE}) must be {error}") from None
    if not (is_plain and text.isascii() and text.isprintable() and " " not in text):
        raise BadSetting(f"--url ({URL_VARIABLE}) must be the address of a server, and nothing more")
    if not (secret.isascii() and secret.isprintable() and " " not in secret):
        raise BadSetting(f"--key ({KEY_VARIABLE}) must be a key, as it was shown when it was made")
    return Address(url=text.rstrip("/"), key=secret or None, is_option=url is not None)


def sources(environ: Mapping[str, str], overrides: Mapping[str, str | None] | None = None) -> dict[str, str]:
    """Where the value of each setting comes from: `option`, `environment` or `default`."""
    given = _texts(environ, overrides or {})
    return {field: given[field][1] if field in given else DEFAULT for field in FIELDS}


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """Variables that look like ours and are not: probably a slip of the pen, or a setting of another version."""
    known = {variable_of(field) for field in FIELDS} | _INTERNAL | {URL_VARIABLE, KEY_VARIABLE}
    return sorted(name for name in environ if name.startswith(PREFIX) and name not in known)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server on that host."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_openness(settings: Settings) -> None:
    """Raises BadSetting when a server would ask for no keys on an address that others can reach."""
    if settings.auth == "off" and not is_loopback(settings.host):
        raise BadSetting(
            f"ANTIPHON_AUTH=off is allowed on a loopback address only (127.0.0.1, ::1, localhost), "
            f"and the host is {settings.host}"
        )


def _texts(environ: Mapping[str, str], overrides: Mapping[str, str | None]) -> dict[str, tuple[str, str]]:
    found: dict[str, tuple[str, str]] = {}
    for field in FIELDS:
        option = overrides.get(field)
        if option is not None:
            found[field] = (option, OPTION)
        elif (value := environ.get(variable_of(field), "").strip()) != "":
            found[field] = (value, ENVIRONMENT)
    return found


def _default_data_dir(environ: Mapping[str, str]) -> Path:
    """The XDG base directory specification's place for data; a relative XDG_DATA_HOME is ignored, as it demands."""
    base = environ.get("XDG_DATA_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".local" / "share") / "antiphon"


# Each parser raises ValueError with what the value must be.


def _host(text: str) -> str:
    if not text or any(character in text for character in " /\t"):
        raise ValueError("a host name or an address")
    return text


def _port(text: str) -> int:
    if not text.isdecimal() or len(text) > _DIGITS_MAX or int(text) > _PORT_MAX:
        raise ValueError(f"a number from 0 (any free port) to {_PORT_MAX}")
    return int(text)


def _data_dir(text: str) -> Path:
    if not text or "\x00" in text:
        raise ValueError("a path")
    return Path(text).expanduser().absolute()


def _database_url(text: str) -> str:
    return _url_of(text, ("postgresql", "postgres"))


def _url(text: str) -> str:
    return _url_of(text, ("http", "https"))


def _url_of(text: str, schemes: tuple[str, str]) -> str:
    try:
        parts = urlsplit(text)
        is_good = parts.scheme in schemes and bool(parts.hostname or "host=" in parts.query)
    except ValueError:
        is_good = False
    if not is_good:
        raise ValueError(f"a URL that begins with {schemes[0]}:// or {schemes[1]}://")
    return text


def _one_of(*allowed: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() not in allowed:
            raise ValueError(f"one of {', '.join(allowed)}")
        return text.lower()

    return parse


def _secret(text: str) -> str:
    if len(text) < _SECRET_CHARACTERS_MIN:
        raise ValueError(f"a secret of at least {_SECRET_CHARACTERS_MIN} characters")
    return text


def _rate_limit(text: str) -> int:
    if not text.isdecimal() or len(text) > _DIGITS_MAX:
        raise ValueError("a number of requests a minute (0: no limit)")
    return int(text)


def _addresses(text: str) -> tuple[str, ...]:
    addresses = tuple(part.strip() for part in text.split(",") if part.strip())
    for address in addresses:
        try:
            if address != "*":
                ipaddress.ip_network(address, strict=False)
        except ValueError:
            raise ValueError("addresses or networks with commas between them, or *") from None
    return addresses


def _origins(text: str) -> tuple[str, ...]:
    origins = tuple(part.strip() for part in text.split(",") if part.strip())
    if not all(origin == "*" or _is_origin(origin) for origin in origins):
        raise ValueError("origins like https://chat.example.com with commas between them, or *")
    return origins


def _is_origin(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    is_bare = text == f"{parts.scheme}://{parts.netloc}" and "@" not in text
    return is_bare and parts.scheme in ("http", "https") and bool(parts.hostname)


_PARSERS: dict[str, Callable[[str], Any]] = {
    "host": _host,
    "port": _port,
    "data_dir": _data_dir,
    "database_url": _database_url,
    "model_url": _url,
    "embeddings": _one_of(AUTO, OFF),
    "embeddings_url": _url,
    "agent": _one_of(OPENAI, PYDANTIC_AI),
    "tools": _one_of("on", "off"),
    "sandbox": _one_of("on", "off"),
    "auth": _one_of("on", "off"),
    "jwt_secret": _secret,
    "webhook_secret": _secret,
    "webhook_private": _one_of("refuse", "allow"),
    "rest_rate_limit": _rate_limit,
    "log_level": _one_of(*_LOG_LEVELS),
    "forwarded_allow_ips": _addresses,
    "cors_origins": _origins,
}

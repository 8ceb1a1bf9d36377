"""Settings: where values come from, and what is said about bad ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from antiphon.settings import (
    FIELDS,
    BadSetting,
    Settings,
    check_openness,
    is_loopback,
    read_settings,
    sources,
    unknown_variables,
)


def test_without_any_variable_all_have_their_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    assert read_settings({}) == Settings(data_dir=Path("/home/ann/.local/share/antiphon"))


def test_every_setting_is_read_from_its_variable() -> None:
    environ = {
        "ANTIPHON_DATA_DIR": "/srv/data",
        "ANTIPHON_DATABASE_URL": "postgresql://ann:pw@db/x",
        "ANTIPHON_HOST": "::1",
        "ANTIPHON_PORT": "0",
        "ANTIPHON_MODEL_URL": "http://model:8080/v1",
        "ANTIPHON_MODEL_KEY": "k",
        "ANTIPHON_MODEL": "m",
        "ANTIPHON_AGENT": "pydantic-ai",
        "ANTIPHON_TOOLS": "off",
        "ANTIPHON_SANDBOX": "off",
        "ANTIPHON_EMBEDDINGS": "off",
        "ANTIPHON_EMBEDDINGS_URL": "https://e/v1",
        "ANTIPHON_EMBEDDINGS_KEY": "e",
        "ANTIPHON_EMBEDDINGS_MODEL": "v",
        "ANTIPHON_AUTH": "OFF",
        "ANTIPHON_JWT_SECRET": "j" * 24,
        "ANTIPHON_WEBHOOK_SECRET": "w" * 24,
        "ANTIPHON_WEBHOOK_PRIVATE": "allow",
        "ANTIPHON_REST_RATE_LIMIT": "7",
        "ANTIPHON_LOG_LEVEL": "debug",
        "ANTIPHON_FORWARDED_ALLOW_IPS": "10.0.0.0/8, ::1",
        "ANTIPHON_CORS_ORIGINS": "https://a.example, http://localhost:3000",
    }
    assert read_settings(environ) == Settings(
        data_dir=Path("/srv/data"),
        database_url="postgresql://ann:pw@db/x",
        host="::1",
        port=0,
        model_url="http://model:8080/v1",
        model_key="k",
        model="m",
        agent="pydantic-ai",
        tools="off",
        sandbox="off",
        embeddings="off",
        embeddings_url="https://e/v1",
        embeddings_key="e",
        embeddings_model="v",
        auth="off",
        jwt_secret="j" * 24,
        webhook_secret="w" * 24,
        webhook_private="allow",
        rest_rate_limit=7,
        log_level="debug",
        forwarded_allow_ips=("10.0.0.0/8", "::1"),
        cors_origins=("https://a.example", "http://localhost:3000"),
    )
    assert {f"ANTIPHON_{field.upper()}" for field in FIELDS} == set(environ)


def test_an_option_wins_over_a_variable_and_a_blank_variable_is_none() -> None:
    environ = {"ANTIPHON_PORT": "1", "ANTIPHON_HOST": "  ", "ANTIPHON_MODEL": "m"}
    overrides = {"port": "2", "model": None}
    settings = read_settings(environ, overrides)
    assert (settings.port, settings.host, settings.model) == (2, "127.0.0.1", "m")
    found = sources(environ, overrides)
    assert (found["port"], found["host"], found["model"]) == ("option", "default", "environment")


@pytest.mark.parametrize(
    ("variable", "value", "allowed"),
    [
        ("ANTIPHON_PORT", "65536", "from 0 (any free port) to 65535"),
        ("ANTIPHON_PORT", "-1", "from 0 (any free port) to 65535"),
        ("ANTIPHON_PORT", "9" * 5000, "from 0 (any free port) to 65535"),
        ("ANTIPHON_HOST", "a b", "a host name or an address"),
        ("ANTIPHON_MODEL_URL", "localhost:8080", "http:// or https://"),
        ("ANTIPHON_MODEL_URL", "http://[::1", "http:// or https://"),
        ("ANTIPHON_EMBEDDINGS_URL", "ftp://x", "http:// or https://"),
        ("ANTIPHON_AUTH", "maybe", "one of on, off"),
        ("ANTIPHON_WEBHOOK_SECRET", "w" * 23, "a secret of at least 24 characters"),
        ("ANTIPHON_AGENT", "other", "one of openai, pydantic-ai"),
        ("ANTIPHON_TOOLS", "maybe", "one of on, off"),
        ("ANTIPHON_WEBHOOK_PRIVATE", "yes", "one of refuse, allow"),
        ("ANTIPHON_REST_RATE_LIMIT", "1.5", "a number of requests a minute"),
        ("ANTIPHON_LOG_LEVEL", "loud", "one of debug, info, warning, error"),
        ("ANTIPHON_FORWARDED_ALLOW_IPS", "10.0.0.1,proxy", "addresses or networks"),
        ("ANTIPHON_DATABASE_URL", "mysql://db/x", "postgresql:// or postgres://"),
        *(
            ("ANTIPHON_CORS_ORIGINS", value, "origins like https://chat.example.com")
            for value in ("a.example", "https://a.example/", "https://a@b.example", "https://[", "ftp://a", "https://")
        ),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(variable: str, value: str, allowed: str) -> None:
    with pytest.raises(BadSetting) as caught:
        read_settings({variable: value})
    option = "--" + variable.removeprefix("ANTIPHON_").lower().replace("_", "-")
    assert str(caught.value).startswith(f"{variable} ({option}) must be ")
    assert allowed in str(caught.value)


def test_a_password_in_a_bad_url_is_not_repeated() -> None:
    for variable in ("ANTIPHON_DATABASE_URL", "ANTIPHON_MODEL_URL"):
        with pytest.raises(BadSetting) as caught:
            read_settings({variable: "ftp://ann:secret@db/x"})
        assert "secret" not in str(caught.value)


def test_the_data_directory_follows_xdg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    assert read_settings({"XDG_DATA_HOME": "/x"}).data_dir == Path("/x/antiphon")
    assert read_settings({"XDG_DATA_HOME": "x"}).data_dir == Path("/home/ann/.local/share/antiphon")
    assert read_settings({"ANTIPHON_DATA_DIR": "~/d"}).data_dir == Path("/home/ann/d")
    assert read_settings({"ANTIPHON_DATA_DIR": "d"}).data_dir == Path.cwd() / "d"


def test_unknown_variables_are_found_and_do_no_harm() -> None:
    environ = {"ANTIPHON_PROT": "1", "ANTIPHON_PORT": "2", "PATH": "/bin", "ANTIPHON_LOCAL_MODEL_KEY": "k"}
    assert unknown_variables(environ) == ["ANTIPHON_PROT"]
    assert read_settings(environ).port == 2


def test_no_keys_are_asked_for_on_loopback_only() -> None:
    for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost", "LOCALHOST"):
        assert is_loopback(host)
        check_openness(read_settings({"ANTIPHON_AUTH": "off", "ANTIPHON_HOST": host}))
    for host in ("0.0.0.0", "::", "192.0.2.1", "example.org", "localhost.example.org"):  # noqa: S104  what must be refused
        assert not is_loopback(host)
        check_openness(read_settings({"ANTIPHON_HOST": host}))
        with pytest.raises(BadSetting, match="loopback"):
            check_openness(read_settings({"ANTIPHON_AUTH": "off", "ANTIPHON_HOST": host}))

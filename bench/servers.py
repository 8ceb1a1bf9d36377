"""The processes of a run: the server under test, the two floors, the load."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from bench import data
from bench.machine import cores
from bench.processes import Process, free_port, python


class Served(msgspec.Struct, frozen=True):
    """Something that answers HTTP."""

    port: int
    pid: int


@contextmanager
def product(dataset: data.Dataset, log_dir: Path) -> Iterator[Served]:
    """The server as it is installed, with its own defaults: the access log is part of what a request costs.

    Only the limits of requests a minute are off, its model is an address that nobody asks, and nothing is embedded.
    """
    command = python("-m", "antiphon", "serve", "--host", "127.0.0.1", "--port", "0")
    environment = {
        "ANTIPHON_DATA_DIR": dataset.data_dir,
        "ANTIPHON_REST_RATE_LIMIT": "0",
        "ANTIPHON_MODEL_URL": "http://127.0.0.1:9/v1",
        "ANTIPHON_MODEL": "none",
        "ANTIPHON_EMBEDDINGS": "off",
    }
    if dataset.url:
        environment["ANTIPHON_DATABASE_URL"] = dataset.url
    with Process("antiphon", command, cores()[0], log_dir, **environment) as process:
        url = process.line_after("ready ")
        yield Served(int(url.rpartition(":")[2]), process.pid)


@contextmanager
def http_floor(log_dir: Path) -> Iterator[Served]:
    """See `bench.http_floor`."""
    port = free_port()
    with Process("http_floor", python("-m", "bench.http_floor", str(port)), cores()[0], log_dir) as process:
        process.wait_for(port)
        yield Served(port, process.pid)


@contextmanager
def store_floor(dataset: data.Dataset, log_dir: Path) -> Iterator[Process]:
    """See `bench.store_floor`; it has a copy of the database to itself."""
    copy = msgspec.structs.replace(dataset, data_dir=f"{dataset.data_dir}-floor")
    shutil.copytree(dataset.data_dir, copy.data_dir)
    command = python("-m", "bench.store_floor", msgspec.json.encode(copy).decode())
    with Process("store_floor", command, cores()[0], log_dir) as process:
        yield process


@contextmanager
def postgres_store(dataset: data.Dataset, floor_url: str, log_dir: Path) -> Iterator[Process]:
    """See `bench.postgres_store`."""
    command = python("-m", "bench.postgres_store", msgspec.json.encode(dataset).decode(), floor_url)
    with Process("postgres_store", command, cores()[0], log_dir) as process:
        yield process


@contextmanager
def load(log_dir: Path) -> Iterator[Process]:
    """See `bench.load`."""
    with Process("load", python("-m", "bench.load"), cores()[1], log_dir) as process:
        yield process

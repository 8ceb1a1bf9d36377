"""The document of the socket is one by the schema that AsyncAPI publish."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path

import pytest
from jsonschema import Draft7Validator

from antiphon.api.lexicon.asyncapi import socket_document


@pytest.fixture
def schema(modules: Path) -> Draft7Validator:
    return Draft7Validator(json.loads((modules / "@asyncapi" / "specs" / "schemas" / "3.0.0.json").read_text()))


def test_it_is_an_asyncapi_document(schema: Draft7Validator) -> None:
    schema.validate(json.loads(json.dumps(socket_document())))


@pytest.mark.parametrize("place", ["asyncapi", "info"])
def test_half_a_document_is_none(schema: Draft7Validator, place: str) -> None:
    document = deepcopy(socket_document())
    del document[place]
    assert not schema.is_valid(document)

"""What the platform's tests share."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient
from flask_openapi3 import OpenAPI

from periscope.documents import Documents
from periscope.tokens import Tokens
from tests.fakes import MemoryStore
from tests.unit.periscope.things import ADMIN, StoreState, create_things


@pytest.fixture
def documents(memory_store: MemoryStore) -> Documents:
    return Documents(memory_store)


@pytest.fixture
def tokens(documents: Documents) -> Tokens:
    return Tokens(documents, ADMIN)


@pytest.fixture
def state() -> StoreState:
    return StoreState()


@pytest.fixture
def app(memory_store: MemoryStore, tokens: Tokens, state: StoreState) -> OpenAPI:
    return create_things(memory_store, tokens, state)


@pytest.fixture
def client(app: OpenAPI) -> FlaskClient:
    return app.test_client()

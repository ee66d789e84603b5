"""The service that every test of the wire calls."""

from __future__ import annotations

import logging
import os

import pytest

from chalicelib import wiring
from chalicelib.observe import logger
from tests.contract.wire import Client, Service

os.environ.setdefault("POWERTOOLS_METRICS_DISABLED", "true")
logger().setLevel(logging.CRITICAL)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    """A fresh deployment in memory, behind the real app."""
    made = Service()
    monkeypatch.setattr(wiring, "ports", lambda: made.ports)
    return made


@pytest.fixture
def alice(service: Service) -> Client:
    """An administrator of the workspace `main`."""
    return service.alice


@pytest.fixture
def bob(service: Service) -> Client:
    """A plain user of the workspace `main`."""
    return service.bob


@pytest.fixture
def eve(service: Service) -> Client:
    """An administrator of another workspace."""
    return service.eve

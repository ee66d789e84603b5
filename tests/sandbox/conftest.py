"""What the tests of EMR on EKS share; other files of this folder have a `world` of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from emr_support import World


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An engine with a stand-in for Spark, one for each file."""
    from emr_support import a_world  # here: the folder's other tests need no EMR

    with a_world(tmp_path_factory.mktemp("emr")) as made:
        yield made


@pytest.fixture
def world(shared: World) -> Iterator[World]:
    """The file's engine, with nothing left of the test before."""
    yield shared.renew()
    shared.end()

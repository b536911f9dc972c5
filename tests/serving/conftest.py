"""What tests of serving share: an index of many tenants."""

from __future__ import annotations

import pytest

from tests.serving import tenants


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tenants.Corpus:
    return tenants.build(tmp_path_factory.mktemp("tenants"))

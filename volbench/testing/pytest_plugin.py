"""Pytest plugin for tests of components: one thread, and a cache of their own.

Load it by name in the ``pyproject.toml`` of a plugin, so that no other test suite on the machine is
affected::

    [tool.pytest.ini_options]
    addopts = ["-p", "volbench.testing.pytest_plugin"]
"""

import os
from collections.abc import Iterator

import pytest

# Read by the thread pools when they are first loaded, in this process and in those it starts.
os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(scope="session", autouse=True)
def volbench_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep tests from reading or filling the cache of the user who runs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VOLBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield

"""One thread, and a cache of its own: no test reads or fills that of the person who runs it."""

import os

# Read by the thread pools when they are first loaded, in this process and in those it starts.
os.environ["OMP_NUM_THREADS"] = "1"

import pytest


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VOLBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield

"""What is done once, before worker processes are forked."""

import pytest

from volbench.executors import forked


def test_triton_has_hashed_itself_before_its_first_kernel():
    cache = pytest.importorskip("triton.runtime.cache")
    cache.triton_key.cache_clear()
    forked._read_triton()
    assert cache.triton_key.cache_info().currsize == 1

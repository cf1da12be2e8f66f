"""What every test may rely on: one thread, a cache of its own, no GPU test without a GPU."""

import os
import signal
import sys

# Read by the thread pools when they are first loaded, in this process and in those it starts.
os.environ["OMP_NUM_THREADS"] = "1"

# Programs that tests start import the tree that the tests stand in, whatever is installed; see
# tests/helpers/child_environment.py.
os.environ["PYTHONPATH"] = os.pathsep.join(
    filter(None, [os.path.dirname(os.path.dirname(__file__)), os.environ.get("PYTHONPATH")])
)

# Output is as wide as in a pipe, whatever terminal the tests are run from: readline, which pytest
# imports, writes that terminal's size here.
if "COLUMNS" in os.environ:
    del os.environ["COLUMNS"]

# Without a GPU, kernels written in Triton are interpreted; read when their module is imported.
if not os.path.exists("/dev/nvidiactl"):
    os.environ["TRITON_INTERPRET"] = "1"

# A shell starts what runs in its background with Ctrl-C ignored, which is inherited: the programs
# that tests interrupt would never notice.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import pytest
from hypothesis import settings

# The same examples each time: a suite that fails now and then teaches to run it again. No deadline,
# because a loaded machine is not a fault.
settings.register_profile("volbench", deadline=None, derandomize=True)
settings.load_profile("volbench")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """No test reads or fills the cache of the person who runs it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VOLBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _one_torch_thread():
    """Undo what the test before may have set; a test that needs no torch does not import it."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.get_num_threads() != 1:
        torch.set_num_threads(1)


@pytest.fixture
def no_waiting():
    """Make waiting for the GPU an error, within ``with no_waiting():`` and not beyond."""
    import contextlib

    import torch

    @contextlib.contextmanager
    def forbidden():
        before = torch.cuda.get_sync_debug_mode()
        torch.cuda.set_sync_debug_mode("error")
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode(before)

    return forbidden


def pytest_runtest_setup(item):
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA device")

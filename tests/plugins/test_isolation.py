"""What third-party code does to the process is noticed and undone: the effect, not the message."""

import os
import random
import signal
import sys

import numpy as np
import pytest
import torch

from volbench.plugins import registry
from volbench.plugins.isolation import isolated


def state():
    """What a component must leave as it is."""
    return (
        random.getstate()[1][:-1],  # the place in it moves: checkers of types draw
        np.random.get_state()[1].tolist(),
        np.random.get_state()[2:],
        torch.get_rng_state().tolist(),
        torch.get_default_dtype(),
        torch.get_num_threads(),
        torch.is_grad_enabled(),
        torch.are_deterministic_algorithms_enabled(),
        os.getcwd(),
        signal.getsignal(signal.SIGINT),
        signal.getsignal(signal.SIGUSR2),
        registry.kinds_of,
        registry.Registry.build,
        random.seed,
        sys.stdout,
    )


def draw_numpy():
    np.random.normal(size=3)


CHANGES = {
    "Python's": lambda: random.seed(5),
    "NumPy's": lambda: np.random.seed(5),
    "NumPy's global": draw_numpy,
    "PyTorch's": lambda: torch.manual_seed(5),
    "PyTorch's global": lambda: torch.rand(3),
    "default dtype": lambda: torch.set_default_dtype(torch.float64),
    "number of threads": lambda: torch.set_num_threads(torch.get_num_threads() + 1),
    "gradient mode": lambda: torch.set_grad_enabled(False),
    "deterministic mode": lambda: torch.use_deterministic_algorithms(
        not torch.are_deterministic_algorithms_enabled()
    ),
    "working directory": lambda: os.chdir("/"),
    "handler for SIGINT": lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    "handler for SIGUSR2": lambda: signal.signal(signal.SIGUSR2, lambda *_: None),
    "replaces volbench.plugins.registry.kinds_of": lambda: setattr(registry, "kinds_of", None),
    "replaces Registry.build": lambda: setattr(registry.Registry, "build", lambda self: 0),
}


@pytest.fixture(autouse=True)
def _far_from_the_next_round():
    """Python's generator renews its state after 624 draws."""
    random.seed(1)
    random.random()


@pytest.mark.parametrize("words", CHANGES)
def test_a_change_is_named_and_undone(words):
    before = state()
    with isolated() as seen:
        CHANGES[words]()
    assert state() == before
    (offence,) = seen.offences
    assert words in offence


def test_a_change_is_undone_where_the_code_raises_too():
    before = state()

    def change_all_and_raise():
        with isolated():
            for change in CHANGES.values():
                change()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        change_all_and_raise()
    assert state() == before


def test_building_may_draw_from_pytorch_and_from_nothing_else():
    torch.manual_seed(0)
    expected = torch.rand(2)[1]
    torch.manual_seed(0)
    numpy = np.random.get_state()[1].tolist()
    with isolated(may_draw=True) as seen:
        torch.rand(1)
        np.random.seed(3)
    assert torch.rand(1) == expected
    assert np.random.get_state()[1].tolist() == numpy
    assert len(seen.offences) == 1


def test_what_is_printed_goes_to_stderr(capsys):
    with isolated() as seen:
        print("hello")
    said = capsys.readouterr()
    assert (said.out, said.err.strip()) == ("", "hello")
    assert "prints to standard output ('hello')" in seen.offences[0]


def test_what_changes_nothing_is_no_offence():
    before = state()
    with isolated() as seen:
        sum(range(5))
    assert seen.offences == []
    assert state() == before


@pytest.mark.parametrize("end", ["os._exit(0)", "os.abort()", "os._exit(3)"])
def test_the_end_of_the_process_is_an_exception_to_others(end):
    before = os._exit, os.abort
    with pytest.raises(SystemExit) as error, isolated():
        eval(end)
    assert str(error.value) == f"{end} ends the whole process"
    assert (os._exit, os.abort) == before


def test_a_forked_child_ends_as_it_likes():
    with isolated():
        child = os.fork()
        if child == 0:
            os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7

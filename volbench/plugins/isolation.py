"""Isolation of third-party code: changes to the process are detected and undone.

Importing a component, or building it, must change nothing but the component. A plugin that prints
would spoil ``compare --format json``; one that reseeds a generator would change every result after
it; one that sets the default type would change every network.
"""

import io
import os
import random
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass, field
from types import FrameType, ModuleType
from typing import Any

from volbench._utils.process_end import hard_exits_raise


@dataclass
class ObservedEffects:
    """What was noticed.

    Attributes:
        offences: What the code did to the process, each in words that say how to mend it.
        signalled: A person or the system asked the process to end meanwhile.
    """

    offences: list[str] = field(default_factory=list[str])
    signalled: bool = False


@contextmanager
def isolated(*, may_draw: bool = False) -> Iterator[ObservedEffects]:
    """Run code that must leave the process as it is; whatever it changed is put back.

    Args:
        may_draw: The code builds a component: PyTorch's generator may be drawn from, as initial
            weights are, and volbench's own functions are not watched.
    """
    seen = ObservedEffects()
    printed = _Printed()
    with ExitStack() as stack:
        stack.enter_context(_generators(seen, may_draw))
        stack.enter_context(_settings(seen))
        if not may_draw:  # costs milliseconds, and constructors that patch are a rarity
            stack.enter_context(_own_code(seen))
        if threading.current_thread() is threading.main_thread():
            stack.enter_context(_signals(seen))
        stack.enter_context(hard_exits_raise())
        stack.callback(_note_printed, printed, seen)
        stack.enter_context(redirect_stdout(printed))
        yield seen


class _Printed(io.TextIOBase):
    """Standard output belongs to volbench's own results; what a plugin prints goes to stderr."""

    def __init__(self) -> None:
        self.text = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        self.text += text[: 1000 - len(self.text)]
        return sys.stderr.write(text)


def _note_printed(printed: _Printed, seen: ObservedEffects) -> None:
    if printed.text:
        shown = " ".join(printed.text.split())[:40]
        seen.offences.append(f"prints to standard output ({shown!r}); use logging")


@contextmanager
def _generators(seen: ObservedEffects, may_draw: bool) -> Iterator[None]:
    """The global generators of Python, NumPy and PyTorch.

    Of Python's only seeding counts: checkers of types at run time draw from it.
    """
    import numpy as np
    import torch

    python, pytorch = random.getstate(), torch.get_rng_state()
    numpy: Any = np.random.get_state()
    moved: list[str] = []
    seed = random.seed

    def noted(*args: Any, **kwargs: Any) -> None:
        moved.append("Python's")
        seed(*args, **kwargs)

    random.seed = noted
    try:
        yield
    finally:
        random.seed = seed
        random.setstate(python)
        now: Any = np.random.get_state()
        if now[0] != numpy[0] or now[2:] != numpy[2:] or not np.array_equal(now[1], numpy[1]):
            moved.append("NumPy's")
            np.random.set_state(numpy)
        if not may_draw and not torch.equal(torch.get_rng_state(), pytorch):
            moved.append("PyTorch's")
            torch.set_rng_state(pytorch)
        if moved:
            own = "PyTorch's, which volbench seeds" if may_draw else "a generator of its own"
            seen.offences.append(
                f"seeds or draws from {' and '.join(moved)} global generator; use {own}"
            )


@contextmanager
def _settings(seen: ObservedEffects) -> Iterator[None]:
    """Settings of the whole process."""
    import torch

    settings: tuple[tuple[str, Callable[[], object], Callable[..., object]], ...] = (
        ("torch's default dtype", torch.get_default_dtype, torch.set_default_dtype),
        (
            "torch's default device",
            torch.get_default_device,
            lambda device: torch.set_default_device(None if device.type == "cpu" else device),
        ),
        ("torch's number of threads", torch.get_num_threads, torch.set_num_threads),
        ("torch's gradient mode", torch.is_grad_enabled, torch.set_grad_enabled),
        (
            "torch's deterministic mode",
            torch.are_deterministic_algorithms_enabled,
            torch.use_deterministic_algorithms,
        ),
        ("the working directory", os.getcwd, os.chdir),
    )
    before = [get() for _, get, _ in settings]
    try:
        yield
    finally:
        for (name, get, put), value in zip(settings, before, strict=True):
            if (now := get()) != value:
                put(value)
                seen.offences.append(f"sets {name} to {now}; leave it as it is")


@contextmanager
def _own_code(seen: ObservedEffects) -> Iterator[None]:
    """Functions and classes of volbench, which a plugin may replace by accident or on purpose."""
    before = {where: dict(_callables(where)) for where in _own_namespaces()}
    try:
        yield
    finally:
        for where, callables in before.items():
            now = dict(_callables(where))
            for name, value in callables.items():
                if now.get(name) is not value:
                    setattr(where, name, value)
                    seen.offences.append(f"replaces {_named(where)}.{name}; subclass or wrap it")


def _own_namespaces() -> list[ModuleType | type]:
    """Modules of volbench that are loaded, and the classes they define."""
    modules = [
        module
        for name, module in list(sys.modules.items())
        if name.partition(".")[0] == "volbench" and isinstance(module, ModuleType)
    ]
    classes = [
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and value.__module__ == module.__name__
    ]
    return [*modules, *classes]


def _callables(where: ModuleType | type) -> Iterator[tuple[str, object]]:
    for name, value in list(vars(where).items()):
        if callable(value) and not (name.startswith("__") and name != "__init__"):
            yield name, value


def _named(where: ModuleType | type) -> str:
    return where.__qualname__ if isinstance(where, type) else where.__name__


@contextmanager
def _signals(seen: ObservedEffects) -> Iterator[None]:
    """Handlers of signals; and whether Ctrl-C or the system ended the code, or it did itself."""
    before = {number: signal.getsignal(number) for number in signal.valid_signals()}
    expected = dict(before)
    for number in (signal.SIGINT, signal.SIGTERM):
        handler = before[number]
        if callable(handler):
            expected[number] = _noting(handler, seen)
            signal.signal(number, expected[number])
    try:
        yield
    finally:
        for number, handler in before.items():
            now = signal.getsignal(number)
            if now is not expected[number] and now != expected[number]:
                name = signal.Signals(number).name
                seen.offences.append(f"installs a handler for {name}; leave signals to volbench")
            elif expected[number] is handler:
                continue
            if handler is not None:  # None: installed by C code, and not to be had back
                signal.signal(number, handler)


def _noting(
    handler: Callable[[int, FrameType | None], object], seen: ObservedEffects
) -> Callable[[int, FrameType | None], object]:
    def note(number: int, frame: FrameType | None) -> object:
        seen.signalled = True
        return handler(number, frame)

    return note

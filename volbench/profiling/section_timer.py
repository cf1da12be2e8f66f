"""Where the time of a fold goes: seconds per section, on the device's own clock."""

import time
from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TypeAlias

import torch

WAIT, TRANSFORM, AUGMENT, FORWARD, BACKWARD, OPTIMISER, STEP, EVALUATE = SECTIONS = (
    "wait for data",
    "wait for TorchIO",
    "augment",
    "forward",
    "backward",
    "optimiser",
    "step as a graph",
    "evaluate",
)

Moment: TypeAlias = float | torch.cuda.Event


class Clock:
    """Adds up what sections take.

    On a GPU, events mark where sections begin and end in the stream, so nothing waits for them
    before ``seconds`` is asked; a section then holds what the device did, and its idle time.

    Args:
        on: Whether to measure at all.
    """

    def __init__(self, device: torch.device, *, on: bool = True) -> None:
        self._cuda = device.type == "cuda"
        self.on = on
        self._paused = False
        self._open: list[tuple[str, Moment, Moment]] = []
        self._seconds = dict.fromkeys(SECTIONS, 0.0)

    def section(self, name: str) -> AbstractContextManager[None]:
        """Count what happens inside as one of ``SECTIONS``."""
        return self._measured(name) if self.on and not self._paused else nullcontext()

    @contextmanager
    def paused(self) -> Generator[None]:
        """Count no section that begins inside."""
        self._paused = True
        try:
            yield
        finally:
            self._paused = False

    @contextmanager
    def _measured(self, name: str) -> Generator[None]:
        start = self._now()
        yield
        self._open.append((name, start, self._now()))

    def settle(self) -> None:
        """Add up what was measured, and forget its events; waits for the device."""
        if self._cuda and self._open:
            torch.cuda.synchronize()
        for name, start, end in self._open:
            self._seconds[name] += _between(start, end)
        self._open.clear()

    def seconds(self) -> Mapping[str, float]:
        """Seconds of every section so far; waits for the device."""
        self.settle()
        return dict(self._seconds)

    def _now(self) -> Moment:
        if not self._cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event


def _between(start: Moment, end: Moment) -> float:
    if isinstance(start, float):
        assert isinstance(end, float)
        return end - start
    assert not isinstance(end, float)
    return float(start.elapsed_time(end)) / 1000

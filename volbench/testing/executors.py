"""Contract of an executor: subclass ``ExecutorContract`` and set ``spec``.

from volbench.testing import ExecutorContract

class TestKubernetes(ExecutorContract):
    spec = 'kubernetes(namespace="lab")'
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch

from volbench.interfaces import TERMINAL_EVENTS, Executor, ExecutorEvent, ExecutorTask
from volbench.plugins.registry import executors
from volbench.testing.component import ComponentContract

TOYS = "volbench.testing.toy_tasks"

_RAN: dict[str, Mapping[str, list[ExecutorEvent]]] = {}


def toy(key: str, name: str, /, **payload: Any) -> ExecutorTask:
    """A task that calls one of the toys."""
    return ExecutorTask(key, f"{TOYS}:{name}", payload)


class ExecutorContract(ComponentContract):
    """What every executor must do.

    Attributes:
        spec: The executor under test.

    >>> class TestOurs(ExecutorContract):  # pytest collects its tests
    ...     spec = "local"
    >>> any(name.startswith("test_") for name in dir(TestOurs))
    True
    """

    registry = executors
    context = 0

    def build(self, *, seed: int) -> Executor:
        """Build ``spec``."""
        torch.manual_seed(seed)
        return executors.build(self.spec, Executor)

    def use(self, component: Executor) -> object:
        """Run one task."""
        with TemporaryDirectory() as folder, component:
            return self.events(component, [toy("a", "echo")], Path(folder))

    def events(
        self, executor: Executor, tasks: Sequence[ExecutorTask], folder: Path
    ) -> Mapping[str, list[ExecutorEvent]]:
        """Run tasks; their events by key, in order."""
        found: dict[str, list[ExecutorEvent]] = defaultdict(list)
        executor.submit(tasks, folder, lambda event: found[event.key].append(event))
        return found

    @pytest.fixture
    def ran(self, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, list[ExecutorEvent]]:
        """Six tasks of every kind, run together, once for all tests."""
        if self.spec not in _RAN:
            tasks = [
                toy("runs/a/0", "echo", text="ü", numbers=[1, 2.5], nothing=None),
                toy("runs/a/1", "fail"),
                toy("runs/a/2", "count", to=3),
                toy("runs/a/3", "exhaust"),
                toy("runs/a/4", "die"),
                toy("runs/a/5", "echo", text="last"),
            ]
            with self.build(seed=0) as executor:
                folder = tmp_path_factory.mktemp("executor")
                _RAN[self.spec] = self.events(executor, tasks, folder)
        return _RAN[self.spec]

    def test_every_task_ends_exactly_once(self, ran: Mapping[str, list[ExecutorEvent]]) -> None:
        """Whoever submits waits for one last event of each."""
        for number in range(6):
            kinds = [event.kind for event in ran.get(f"runs/a/{number}", [])]
            ends = [kind for kind in kinds if kind in TERMINAL_EVENTS]
            assert len(ends) == 1, self.says(f"task {number} ended as {ends}, not once")
            assert kinds[-1] in TERMINAL_EVENTS, self.says(f"sent {kinds[-1]} after the last event")

    def test_what_a_task_returns_arrives(self, ran: Mapping[str, list[ExecutorEvent]]) -> None:
        """Plain data, unchanged."""
        last = ran["runs/a/0"][-1]
        assert last.kind == "done", self.says(f"a task that returns ended as {last.kind}")
        expected = {"text": "ü", "numbers": [1, 2.5], "nothing": None}
        assert dict(last.value) == expected, self.says(f"returned {last.value}, not {expected}")

    def test_what_a_task_reports_arrives_in_order(
        self, ran: Mapping[str, list[ExecutorEvent]]
    ) -> None:
        """Progress by epoch, sent between started and done."""
        events = ran["runs/a/2"]
        numbers = [event.value["number"] for event in events if event.kind == "progress"]
        assert numbers == [1, 2, 3], self.says(f"reports 1, 2, 3 arrived as {numbers}")
        kinds = [event.kind for event in events]
        assert "started" in kinds, self.says("did not say that a task started")
        assert kinds.index("started") < kinds.index("progress"), self.says(
            "sent progress of a task before it started"
        )

    def test_an_error_is_told_with_its_reason(self, ran: Mapping[str, list[ExecutorEvent]]) -> None:
        """One line, and the name of the class."""
        last = ran["runs/a/1"][-1]
        told = (last.kind, last.error_type, last.reason)
        expected = ("failed", "ZeroDivisionError", "ZeroDivisionError: as it should")
        assert told == expected, self.says(f"told {told} of an error, not {expected}")

    def test_no_memory_is_a_state_of_its_own(self, ran: Mapping[str, list[ExecutorEvent]]) -> None:
        """It is tried again alone, which helps against nothing else."""
        last = ran["runs/a/3"][-1].kind
        assert last == "out_of_memory", self.says(f"called a MemoryError {last}")

    def test_a_process_that_dies_takes_no_other_task_along(
        self, ran: Mapping[str, list[ExecutorEvent]]
    ) -> None:
        """The task is lost, or failed; those after it are done."""
        died, after = ran["runs/a/4"][-1], ran["runs/a/5"][-1].kind
        assert died.kind in ("lost", "failed"), self.says(
            f"called the end of a process {died.kind}"
        )
        assert died.reason, self.says("gave no reason for the end of a process")
        assert after == "done", self.says(f"the task after a process that died was {after}")

    def test_describing_runs_nothing(self, tmp_path: Path) -> None:
        """``--dry-run`` shows it."""
        with self.build(seed=0) as executor:
            told = executor.describe([toy("a", "echo"), toy("b", "echo")], tmp_path)
        assert told.strip(), self.says("describes what it would do by nothing")
        assert not list(tmp_path.rglob("mail-*")), self.says("ran a task when asked to describe it")

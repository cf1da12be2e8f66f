"""Events by files on a shared folder, for executors whose tasks run where no pipe reaches.

Each process that does a task appends lines to a file of its own, so no two write to one file; who
submitted it reads what was added. Nothing is lost when the reader is away: it reads on later.
``python -m volbench.executors.mailbox FOLDER`` does the task of a folder.
"""

import json
import os
import socket
import sys
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from volbench.errors import ExecutorError
from volbench.executors.worker import CallbackContext, Stopping, call_task
from volbench.interfaces import ExecutorEvent, ExecutorTask

TASK, MAIL = "task.json", "mail-*.jsonl"


class TaskFolder:
    """What is kept of one submitted task: what it is, and the mail of each time it is run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of(cls, folder: Path, key: str) -> "TaskFolder":
        """The folder of a task among those submitted together.

        >>> TaskFolder.of(Path("jobs"), "runs/a/3").path.name
        'runs%2Fa%2F3'
        """
        return cls(folder / quote(key, safe=""))

    @property
    def key(self) -> str:
        """The task's."""
        return unquote(self.path.name)

    def write(self, task: ExecutorTask) -> None:
        """Keep the task; mail of an earlier submission is put away."""
        self.path.mkdir(parents=True, exist_ok=True)
        for old in self.path.glob(MAIL):
            old.rename(old.with_suffix(".old"))
        temporary = self.path / f".{TASK}.{os.getpid()}"
        temporary.write_text(json.dumps(asdict(task), sort_keys=True))
        temporary.rename(self.path / TASK)

    def read(self) -> ExecutorTask:
        """The task that was kept.

        Raises:
            ExecutorError: this machine cannot see the folder.
        """
        try:
            return ExecutorTask(**json.loads((self.path / TASK).read_text()))
        except FileNotFoundError:
            raise ExecutorError(
                f"{socket.gethostname()} cannot see {self.path}; give --out on a disk that all "
                "machines share"
            ) from None


class Sender:
    """Writes the mail of one run of a task."""

    def __init__(self, folder: TaskFolder) -> None:
        self._path = folder.path / MAIL.replace("*", uuid.uuid4().hex[:12])

    def send(self, event: ExecutorEvent) -> None:
        """Append an event; opened and closed each time, which is when a share sends it on."""
        known = {"host": event.host or socket.gethostname()}
        line = json.dumps({**asdict(event), **known}) + "\n"
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)


class Reader:
    """Reads the mail of tasks that were submitted together, each line once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[Path, int] = {}

    def new(self, key: str) -> Iterator[ExecutorEvent]:
        """Events of one task that came since the last time."""
        for path in sorted(TaskFolder.of(self._folder, key).path.glob(MAIL)):
            with path.open("rb") as file:
                file.seek(self._read.get(path, 0))
                for line in file:
                    if not line.endswith(b"\n"):  # still being written
                        break
                    self._read[path] = self._read.get(path, 0) + len(line)
                    yield ExecutorEvent(**json.loads(line))


def do_task(path: Path, *, stopping: Stopping | None = None) -> ExecutorEvent:
    """Do the task of a folder in this process; progress and outcome are sent as messages."""
    folder = TaskFolder(path)
    task, sender = folder.read(), Sender(folder)
    stopping = stopping or Stopping()
    sender.send(ExecutorEvent(task.key, "started"))

    def report(value: Mapping[str, Any]) -> None:
        sender.send(ExecutorEvent(task.key, "progress", value))

    with stopping.on_signals():
        event = call_task(task, CallbackContext(report, stopping))
    sender.send(event)
    return event


if __name__ == "__main__":
    do_task(Path(sys.argv[1]))

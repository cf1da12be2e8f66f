"""`volbench run` with the moment of each event written to a file, for the scripts beside this one.

    TRACE=events.jsonl python benchmarks/performance/traced_run.py --encoder r2d --agg average ...

Nothing of volbench is changed: this listens where a watcher listens, around ``prepare``, and after
the optimiser's first step. Worker processes import this file again, as their start method wants it,
and so tell of their first step too. TRACE_STOP=1 ends the process after its first step.
"""

import json
import os
import sys
import time
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

_end = os._exit
"""Taken before a fold trains: there, an exit at once is a component's fault, and raises."""


def note(event: str) -> None:
    line = json.dumps({"event": event, "at": time.time(), "process": os.getpid()})
    with open(os.environ["TRACE"], "a", encoding="utf-8") as file:
        file.write(line + "\n")


def _after_step(*_: object) -> None:
    _hook.remove()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    note("first step")
    if os.environ.get("TRACE_STOP"):
        _end(0)


if "TRACE" in os.environ:
    _hook = register_optimizer_step_post_hook(_after_step)


def main() -> None:
    from volbench.cli.main import main as volbench
    from volbench.cli.progress import training as training_progress
    from volbench.crossval import shared_inputs as shared

    prepare = shared.prepare

    def noted_prepare(*arguments: Any, **options: Any) -> Any:
        note("prepare")
        try:
            return prepare(*arguments, **options)
        finally:
            note("prepared")

    class Noting(training_progress.TrainingProgress):
        def on_plan(self, *arguments: Any) -> None:
            note("planned")
            super().on_plan(*arguments)

        def on_end(self, result: Any) -> None:
            super().on_end(result)
            note("fold")

        def on_audit(self) -> None:
            note("audit")
            super().on_audit()

        def summarise(self, outcome: Any) -> None:
            note("done")
            super().summarise(outcome)

    shared.prepare = noted_prepare
    training_progress.TrainingProgress = Noting
    volbench(["run", *sys.argv[1:]])


if __name__ == "__main__":
    main()

"""Tasks as the array of a SLURM cluster, through submitit.

Source: https://github.com/facebookincubator/submitit (MIT) writes the script and requeues.
"""

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import redirect_stderr
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from volbench.errors import ExecutorError, SpecError
from volbench.executors.mailbox import Reader, TaskFolder, do_task
from volbench.executors.worker import Stopping
from volbench.interfaces import TERMINAL_EVENTS, Executor, ExecutorEvent, ExecutorTask

OnEvent = Callable[[ExecutorEvent], None]

JOBS = "jobs.json"
INSTALL = "pip install 'volbench[slurm]'"
SEE_WHAT_THERE_IS = "`sinfo -o '%P %G %c %m %f'` lists partitions, GPUs, cores, memory and features"
SEE_WHETHER_IT_ANSWERS = "`scontrol ping` says whether the controller answers from this machine"
TIMEOUTS = 1000
"""So often may the time limit end a task and SLURM begin it again: each time it goes on."""
LARGEST_ARRAY = 1000
"""Tasks of an array where the cluster does not say: SLURM's default of MaxArraySize, less one."""

LIVING = frozenset(
    {
        "PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED", "REQUEUED", "RESIZING",
        "REQUEUE_FED", "REQUEUE_HOLD", "SIGNALING", "STAGE_OUT", "STOPPED", "PREEMPTED",
        "UNKNOWN",
    }
)  # fmt: skip
"""States of a job that may still do something; a preempted one may be requeued."""

USUAL = frozenset(
    {"None", "Priority", "Resources", "JobArrayTaskLimit", "BeginTime", "Cleaning", "Prolog"}
)
"""Reasons for which a job waits its turn; any other one is told once."""


class Slurm(Executor):
    """Runs tasks on a SLURM cluster, as an array. Source: submitit.

    Ctrl-C detaches: the jobs go on, and the same command attaches again. A task whose time is
    nearly up keeps its state and is requeued. More tasks than an array of the cluster may hold
    (MaxArraySize) become several, which share ``array`` between them.

    Args:
        partition: Partition; the cluster's default if left out.
        time_min: Minutes a job may take before it is requeued.
        gpus: GPUs of a task.
        cpus: Cores of a task.
        mem_gb: Memory of a task; one that ran out of it is tried again with twice as much.
        array: Most tasks that run at a time.
        warning_s: Seconds before the time limit at which a task keeps its state; must be more than
            one epoch takes.
        account: Account to charge.
        qos: Quality of service.
        constraint: Features that a node must have.
        setup: Shell commands that run first, as in ``setup=("module load cuda",)``.
        poll_s: Seconds between two looks at the jobs.

    >>> executor = Slurm(partition="gpu", gpus=1, time_min=120)
    >>> executor.gpus, executor.detaches
    (1, True)
    """

    detaches = True
    restarts: ClassVar[bool] = True

    def __init__(
        self,
        *,
        partition: str | None = None,
        time_min: int = 240,
        gpus: int = 0,
        cpus: int = 1,
        mem_gb: float | None = None,
        array: int = 256,
        warning_s: int = 120,
        account: str | None = None,
        qos: str | None = None,
        constraint: str | None = None,
        setup: tuple[str, ...] = (),
        poll_s: float = 5.0,
    ) -> None:
        for name, value in (("time_min", time_min), ("cpus", cpus), ("array", array)):
            if value < 1:
                raise SpecError(f"slurm({name}={value}): it must be 1 or more")
        self.mem_gb = mem_gb
        self.poll_s = poll_s
        self._array = array
        self.gpus, self.cpus = gpus, cpus
        given = {
            "slurm_partition": partition,
            "timeout_min": time_min,
            "cpus_per_task": cpus,
            "gpus_per_node": gpus or None,
            "slurm_signal_delay_s": warning_s,
            "slurm_account": account,
            "slurm_qos": qos,
            "slurm_constraint": constraint,
            "slurm_setup": list(setup) or None,
        }
        self._parameters = {key: value for key, value in given.items() if value is not None}

    def submit(self, tasks: Sequence[ExecutorTask], folder: Path, on_event: OnEvent) -> None:
        """Submit what is not at it already, then follow all of them."""
        submitit = _submitit()
        _require_sbatch()
        folder = folder.resolve()
        jobs = _read_jobs(folder)
        living = _states(set(jobs.values()))
        attached = {key for key, job in jobs.items() if living.get(job, ("", ""))[0] in LIVING}
        for alone in (False, True):
            fresh = [task for task in tasks if task.alone == alone and task.key not in attached]
            for part, at_once in _arrays(fresh, self._array):
                jobs.update(self._submit_array(submitit, part, folder, at_once, alone=alone))
                _write_jobs(folder, jobs)
        self._follow({task.key: jobs[task.key] for task in tasks}, folder, on_event)

    def describe(self, tasks: Sequence[ExecutorTask], folder: Path) -> str:
        """The script that `submit` would give to sbatch."""
        if not (parts := _arrays(tasks, self._array)):
            return "nothing to submit: all is done"
        (first, at_once), *more = parts
        folder = folder.resolve()
        executor = self._executor(_submitit(), folder, at_once, alone=False)
        command = f"{sys.executable} -u -m submitit.core._submit {folder / 'log'}"
        executor.parameters["map_count"] = len(first)
        script: str = executor._make_submission_file_text(command, "volbench")
        if not more:
            return script
        sizes = ", ".join(str(len(part)) for part, _ in parts)
        return f"{script}\n# {len(parts)} arrays like this one, of {sizes} tasks\n"

    def cancel(self, keys: Collection[str]) -> None:
        """End jobs of this executor's last submission."""
        if ids := [self._jobs[key] for key in keys if key in self._jobs]:
            subprocess.run(["scancel", *ids], check=False, capture_output=True, timeout=60)

    _jobs: Mapping[str, str] = {}

    def _submit_array(
        self,
        submitit: Any,
        tasks: Sequence[ExecutorTask],
        folder: Path,
        at_once: int,
        *,
        alone: bool,
    ) -> dict[str, str]:
        places = [TaskFolder.of(folder, task.key) for task in tasks]
        for place, task in zip(places, tasks, strict=True):
            place.write(task)
        executor = self._executor(submitit, folder, at_once, alone=alone)
        try:
            with redirect_stderr(io.StringIO()):  # submitit prints what it then raises
                jobs = executor.map_array(SlurmTask(), [str(place.path) for place in places])
        except (submitit.core.utils.FailedJobError, subprocess.SubprocessError, OSError) as error:
            lines = [line.removeprefix("sbatch: error: ") for line in str(error).splitlines()]
            reason = "; ".join(" ".join(line.split()) for line in lines)[-300:]
            unreachable = "Unable to contact" in reason
            way_out = SEE_WHETHER_IT_ANSWERS if unreachable else SEE_WHAT_THERE_IS
            raise ExecutorError(f"sbatch refused the tasks: {reason}; {way_out}") from error
        return {task.key: job.job_id for task, job in zip(tasks, jobs, strict=True)}

    def _executor(self, submitit: Any, folder: Path, at_once: int, *, alone: bool) -> Any:
        executor = submitit.AutoExecutor(
            folder / "log", cluster="slurm", slurm_max_num_timeout=TIMEOUTS
        )
        memory = None if self.mem_gb is None else self.mem_gb * (2 if alone else 1)
        more = {} if memory is None else {"mem_gb": memory}
        if alone and memory is None:
            more = {"slurm_exclusive": True}
        more["slurm_array_parallelism"] = at_once
        executor.update_parameters(name="volbench", **self._parameters, **more)
        return executor._executor if hasattr(executor, "_executor") else executor

    def _follow(self, jobs: Mapping[str, str], folder: Path, on_event: OnEvent) -> None:
        self._jobs = jobs
        reader, open_ = Reader(folder), dict(jobs)
        missed: dict[str, int] = {}
        told = set(USUAL)
        while open_:
            states = _states(set(open_.values()))
            for key, job in list(open_.items()):
                state, why = states.get(job, ("GONE", ""))
                if state == "PENDING":  # has no new mail, and looking for it takes a share's time
                    missed[key] = 0
                    if why not in told:
                        told.add(why)
                        on_event(ExecutorEvent(key, "waiting", reason=_held_back(job, why)))
                    continue
                ended = False
                for event in reader.new(key):
                    # SLURM begins a preempted task again, so for us it waits.
                    if event.kind == "preempted":
                        event = ExecutorEvent(key, "waiting", reason=event.reason)
                    on_event(event)
                    ended = ended or event.kind in TERMINAL_EVENTS
                missed[key] = 0 if state in LIVING else missed.get(key, 0) + 1
                if not ended and missed[key] > 2:  # its last mail may be on its way
                    kind = "out_of_memory" if state == "OUT_OF_MEMORY" else "lost"
                    reason = f"SLURM job {job} ended as {state}"
                    on_event(ExecutorEvent(key, kind, reason=reason))  # type: ignore[arg-type]
                    ended = True
                if ended:
                    del open_[key]
            if open_:
                time.sleep(self.poll_s)


class SlurmTask:
    """What submitit calls on a node: does the task whose folder it is given."""

    def __call__(self, path: str) -> None:
        """Do the task; if it was asked to stop, have SLURM begin it again."""
        requeue = signal.getsignal(_warning())
        stopping = Stopping()
        signal.signal(_warning(), stopping.ask)
        event = do_task(Path(path), stopping=stopping)
        if event.kind == "preempted" and callable(requeue):
            requeue(_warning(), None)  # submitit's: asks SLURM to requeue this job, and ends

    def checkpoint(self, path: str) -> Any:
        """What submitit keeps to begin again; the state itself is in the run's folder."""
        return _submitit().helpers.DelayedSubmission(self, path)


def _warning() -> signal.Signals:
    """The signal that submitit asks SLURM for, before the time limit."""
    return signal.Signals[f"SIG{os.environ.get('SUBMITIT_PREEMPT_SIGNAL', 'USR2')}"]


def _submitit() -> Any:
    try:
        import submitit
    except ImportError:
        raise ExecutorError(f"--on slurm needs submitit; install it: {INSTALL}") from None
    return submitit


def _require_sbatch() -> None:
    if shutil.which("sbatch") is None:
        raise ExecutorError(
            "--on slurm: there is no sbatch on this machine; log in to the cluster, or use "
            "--on local"
        )


def _arrays(
    tasks: Sequence[ExecutorTask], at_once: int
) -> list[tuple[Sequence[ExecutorTask], int]]:
    """Tasks in arrays that the cluster takes, each with how many of it may run at a time."""
    if not tasks:
        return []
    size = _largest_array()
    count = -(-len(tasks) // size)
    return [
        (tasks[first : first + size], max(1, at_once // count))
        for first in range(0, len(tasks), size)
    ]


@cache
def _largest_array() -> int:
    """Tasks that an array of this cluster may have."""
    try:
        done = subprocess.run(
            ["scontrol", "show", "config"], capture_output=True, text=True, timeout=30
        )
    except (OSError, subprocess.SubprocessError):
        return LARGEST_ARRAY
    said = re.search(r"^MaxArraySize\s*=\s*(\d+)", done.stdout, re.MULTILINE)
    return max(1, int(said[1]) - 1) if said else LARGEST_ARRAY


def _held_back(job: str, why: str) -> str:
    array = job.partition("_")[0]
    return (
        f"SLURM holds job {job} back ({why}); if no node can ever run it, `scancel {array}`, "
        f"Ctrl-C and ask for something else: {SEE_WHAT_THERE_IS}"
    )


def _states(jobs: set[str]) -> dict[str, tuple[str, str]]:
    """States of jobs, of those that SLURM still remembers, and why a pending one is."""
    if not jobs:
        return {}
    arrays = sorted({job.partition("_")[0] for job in jobs})
    command = ["squeue", "--noheader", "--array", "--states=all", "--format=%i %T %r"]
    done = subprocess.run(
        [*command, "--jobs", ",".join(arrays)], capture_output=True, text=True, timeout=120
    )
    if done.returncode and "Invalid job id" not in done.stderr:
        # A controller that is away for a moment: nothing is known, and nothing is concluded.
        return dict.fromkeys(jobs, ("UNKNOWN", ""))
    rows = [line.split(maxsplit=2) for line in done.stdout.splitlines()]
    return {
        job: (state, why) for job, state, why in (r for r in rows if len(r) == 3) if job in jobs
    }


def _read_jobs(folder: Path) -> dict[str, str]:
    try:
        jobs: dict[str, str] = json.loads((folder / JOBS).read_text())
    except FileNotFoundError:
        return {}
    return jobs


def _write_jobs(folder: Path, jobs: Mapping[str, str]) -> None:
    temporary = folder / f".{JOBS}.{os.getpid()}"
    temporary.write_text(json.dumps(jobs, sort_keys=True))
    temporary.rename(folder / JOBS)

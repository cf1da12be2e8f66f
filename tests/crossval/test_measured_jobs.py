"""More folds at a time where the first ones leave a GPU idle; meters stand in for the driver's."""

import sys
from functools import partial
from types import SimpleNamespace

import pytest
import torch

from tests.crossval.test_profile import plan_for
from tests.helpers.small import write_small
from volbench.crossval import make_plan, measured_jobs, run, run_cross_validation
from volbench.crossval.callback import Callback, listener_of
from volbench.crossval.machine_sharing import Sharing
from volbench.crossval.measured_jobs import SAMPLE_S, SAMPLES, MeasuredJobs, gpu_busy
from volbench.crossval.open_run import fold_tasks
from volbench.crossval.settings import RunSettings
from volbench.executors.local import Local
from volbench.runs.folder import FoldResult, RunFolder
from volbench.training.device_and_precision import Compute
from volbench.training.fold_reports import EpochReport, StepReport

GPU = Compute("cuda", "bfloat16", 4)


class Run:
    """Folds that run at a time, with clock and driver in hand."""

    def __init__(self, tasks, busy, *, jobs=1, most=5, free_mb=80_000.0, gpus=(0,)):
        self.tasks = tasks
        self.now = 0.0
        self.told = []
        self.looks = []
        self.executor = Local(jobs=jobs).apart()
        sharing = Sharing(GPU, jobs, gpus, most, free_mb)
        self.measured = MeasuredJobs(
            sharing,
            self.executor,
            lambda number, reason: self.told.append((number, reason)),
            busy=lambda gpu: self._busy(gpu, busy),
            clock=lambda: self.now,
        )
        self.callback = Callback()
        self.listener = self.measured.listening(listener_of(self.callback))

    def _busy(self, gpu, busy):
        self.looks.append(gpu)
        if isinstance(busy, Exception):
            raise busy
        return busy

    def start(self, *folds):
        for fold in folds:
            self.listener.on_start(self.tasks[fold])

    def epochs(self, *folds, count=1, memory_mb=1000.0):
        for epoch in range(1, count + 1):
            for fold in folds:
                self.now += 1.01 * SAMPLE_S
                report = EpochReport(fold, epoch, 99, 0.1, None, memory_mb=memory_mb)
                self.listener.on_epoch(self.tasks[fold], report)

    def steps(self, fold, count):
        for step in range(count):
            self.now += 1.01 * SAMPLE_S
            self.listener.on_step(self.tasks[fold], StepReport(fold, 2, 99, step, count))

    def end(self, fold):
        self.listener.on_end(self.tasks[fold], FoldResult(fold, "finished"))

    @property
    def jobs(self):
        return len(self.executor.devices)


@pytest.fixture(autouse=True)
def many_cores(monkeypatch):
    monkeypatch.setattr("volbench.crossval.machine_sharing.available_cores", lambda: 15)


@pytest.fixture(scope="module")
def begin(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    plan = plan_for(write_small(folder / "data", cases=24).folder)
    tasks = fold_tasks(plan, RunFolder(folder / "run"), range(3), GPU, RunSettings())
    return partial(Run, tasks)


def test_an_idle_gpu_takes_more_folds_and_the_user_is_told(begin):
    folds = begin(busy=0.3)
    folds.start(0)
    folds.epochs(0, count=SAMPLES)
    assert folds.jobs == 1  # its first epoch compiles, and does not count
    folds.epochs(0)
    assert folds.jobs == 3
    assert folds.told == [
        (3, "1 fold at a time kept the GPU busy for 30% of the time and took 1.9 GB each")
    ]
    folds.epochs(0, count=2 * SAMPLES)
    assert len(folds.told) == 1


@pytest.mark.parametrize(
    ("busy", "options", "jobs"),
    [
        (0.95, {}, 1),  # one keeps it busy
        (0.0, {}, 5),  # as many as cores feed
        (0.3, {"free_mb": 5_000.0}, 2),  # 1.95 GB each, of four fifths
        (0.3, {"free_mb": 1_000.0}, 1),
        (0.6, {"jobs": 2}, 3),  # together; so one takes three tenths
        (0.3, {"jobs": 2, "free_mb": 1_000.0}, 2),  # what runs has shown that it fits
        (1.0, {"jobs": 2}, 2),  # however busy it is, what runs at a time is never made less
        (0.3, {"jobs": 2, "gpus": (0, 1), "most": 4}, 4),
    ],
)
def test_memory_cores_and_work_are_the_limits(begin, busy, options, jobs):
    folds = begin(busy, **options)
    begun = range(options.get("jobs", 1))
    folds.start(*begun)
    folds.epochs(*begun, count=SAMPLES + 1)
    assert folds.jobs == jobs
    assert set(folds.looks) == set(options.get("gpus", (0,)))


def test_within_a_long_epoch_steps_are_looked_at(begin):
    folds = begin(busy=0.5)
    folds.start(0)
    folds.steps(0, SAMPLES)
    assert not folds.looks  # of the first epoch
    folds.epochs(0)
    folds.steps(0, SAMPLES)
    assert folds.jobs == 2


def test_nothing_is_measured_while_a_fold_begins(begin):
    folds = begin(busy=0.3, jobs=2)
    folds.start(0, 1)
    folds.epochs(0, count=SAMPLES)
    assert not folds.looks
    folds.epochs(1)
    folds.end(1)
    folds.epochs(0, count=SAMPLES)
    assert folds.jobs == 3  # one of them alone keeps it busy for three tenths of the time
    assert "2 folds at a time" in folds.told[0][1]


def test_without_a_meter_the_estimate_stays(begin):
    folds = begin(busy=LookupError("no driver"))
    folds.start(0)
    folds.epochs(0, count=3 * SAMPLES)
    assert folds.looks == [0]
    assert (folds.jobs, folds.told) == (1, [])


def test_where_memory_has_run_out_nothing_is_added(begin):
    folds = begin(busy=0.1, jobs=2)
    folds.start(0, 1)
    folds.executor.resize(1)  # as it does when a fold runs out of memory
    folds.epochs(0, 1, count=SAMPLES)
    assert (folds.jobs, folds.looks) == (1, [])


def test_where_nothing_may_grow_nothing_is_measured(begin):
    folds = begin(busy=0.1, jobs=2, most=2)
    folds.start(0, 1)
    folds.epochs(0, 1, count=SAMPLES)
    assert not folds.looks


def test_a_machine_without_a_driver_says_so(monkeypatch):
    pynvml = SimpleNamespace(NVMLError=type("NVMLError", (Exception,), {}))
    monkeypatch.setitem(sys.modules, "pynvml", pynvml)

    def no_driver(gpu):
        raise pynvml.NVMLError("Driver Not Loaded")

    monkeypatch.setattr(torch.cuda, "utilization", no_driver)
    with pytest.raises(LookupError, match="Driver Not Loaded"):
        gpu_busy(0)
    monkeypatch.setattr(torch.cuda, "utilization", lambda gpu: 37)
    assert gpu_busy(0) == 0.37
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(LookupError, match="pynvml"):
        gpu_busy(0)


def test_a_run_that_grows_has_the_numbers_of_one_that_does_not(tmp_path, monkeypatch):
    plan = make_plan(
        encoder="rmc5(width=2)",
        aggregator="average",
        loss="focal",
        folds="4",
        data=str(write_small(tmp_path / "data", cases=24).folder),
        overrides=("training.epochs=3",),
    )
    cpu = Compute("cpu", "float32", 1)
    jobs = []

    class Told(Callback):
        def on_jobs(self, number, reason):
            jobs.append(number)

    def outcome(name, sharing):
        monkeypatch.setattr(run_cross_validation, "share", lambda plan, settings: sharing)
        done = run(plan, out=tmp_path, name=name, callback=Told())
        assert not done.failed
        return {fold: result.auc for fold, result in done.results.items()}

    monkeypatch.setattr(measured_jobs, "SAMPLES", 1)
    measured = partial(MeasuredJobs, busy=lambda gpu: 0.2)
    monkeypatch.setattr(run_cross_validation, "MeasuredJobs", measured)
    grown = outcome("grown", Sharing(cpu, 1, (0,), 3, 80_000.0))
    assert jobs == [3]
    assert grown == outcome("alone", Sharing(cpu, 1))
    assert jobs == [3]


@pytest.mark.gpu
def test_the_driver_tells_that_a_gpu_computes():
    pytest.importorskip("pynvml")
    numbers = torch.rand(4096, 4096, device="cuda")
    busy = []
    for _ in range(20):
        for _ in range(20):
            numbers = torch.tanh(numbers @ numbers)
        torch.cuda.synchronize()
        busy.append(gpu_busy(0))
    assert max(busy) > 0.2

"""Reading every case of a data set once, to know what is in it and what cannot be read."""

import hashlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

from volbench._utils.moved import renamed
from volbench.data.reading import read_case
from volbench.errors import DataError
from volbench.interfaces import Case, Dataset

OnCase = Callable[[int, int], object]
CHUNK = 8
WORTH_A_WORKER = 64


@dataclass(frozen=True)
class VolumeFacts:
    """What reading a volume told.

    Attributes:
        spacing_mm: Distance between slices, rows and columns.
        region: Share of the voxels inside the mask; None without a mask.
        digest: SHA-256 over the voxels.
        representative: How many slices show the finding.
    """

    channels: int
    slices: int
    rows: int
    columns: int
    spacing_mm: tuple[float, float, float]
    region: float | None
    digest: str
    representative: int

    @property
    def anisotropy(self) -> float:
        """Distance between slices over the mean distance between pixels."""
        between_slices, between_rows, between_columns = self.spacing_mm
        return 2 * between_slices / (between_rows + between_columns)


@dataclass(frozen=True)
class Surveyed:
    """A case, with its facts or with the reason why there are none."""

    case: Case
    facts: VolumeFacts | None
    problem: str | None


def survey(
    dataset: Dataset, *, jobs: int = 1, on_case: OnCase | None = None
) -> tuple[Surveyed, ...]:
    """Read all cases; what cannot be read is reported, not raised.

    Args:
        dataset: Whose cases.
        jobs: Processes; a small data set uses fewer, for starting one takes seconds.
        on_case: Called with how many cases are done, and of how many.

    Raises:
        DataError: a worker process was killed, most likely for want of memory.
    """
    cases = dataset.cases()
    workers = min(jobs, len(cases) // WORTH_A_WORKER)
    found: dict[int, Surveyed] = {}
    for index, surveyed in _pooled(cases, workers) if workers > 1 else enumerate(map(_look, cases)):
        found[index] = surveyed
        if on_case:
            on_case(len(found), len(cases))
    return tuple(found[index] for index in range(len(cases)))


def _look(case: Case) -> Surveyed:
    try:
        scan = read_case(case)
    except DataError as error:
        return Surveyed(case, None, str(error))
    except Exception as error:  # a data set's plugin may raise anything; the others are still read
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        return Surveyed(case, None, f"case {case.name}: cannot be read ({reason})")
    channels, slices, rows, columns = scan.image.shape
    facts = VolumeFacts(
        channels=channels,
        slices=slices,
        rows=rows,
        columns=columns,
        spacing_mm=scan.spacing_mm,
        region=None if scan.mask is None else float(scan.mask.mean()),
        digest=hashlib.sha256(scan.image.tobytes()).hexdigest(),
        representative=len(scan.representative),
    )
    return Surveyed(case, facts, None)


def _pooled(cases: Sequence[Case], workers: int) -> Iterator[tuple[int, Surveyed]]:
    # Not fork: the parent may hold threads (a progress bar, PyTorch), and a copied lock hangs.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker)
    try:
        starts = range(0, len(cases), CHUNK)
        futures = {
            pool.submit(_look_at_all, cases[start : start + CHUNK]): start for start in starts
        }
        for future in as_completed(futures):
            yield from enumerate(future.result(), futures[future])
    except BrokenProcessPool:
        raise DataError(
            f"a worker process was killed while reading {len(cases)} cases, most likely for want "
            "of memory; use --jobs 1"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _look_at_all(cases: Sequence[Case]) -> list[Surveyed]:
    return [_look(case) for case in cases]


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends the pool, and says so once
    os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = "1"


__getattr__ = renamed(__name__, {"Facts": "VolumeFacts"})

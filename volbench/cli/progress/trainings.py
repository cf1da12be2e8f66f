"""Progress of trainings: a row for each with its epoch, and the time left of all."""

from collections.abc import Callable, Hashable, Sequence

from volbench.cli.progress.line import Parts, ProgressLine, Row
from volbench.cli.progress.time_left import TimeLeft
from volbench.training.fold_reports import EpochReport, StepReport

WORTH_SAYING = 0.1
"""Share of the time spent waiting for transforms from which on a person is told."""


class TrainingsLine(ProgressLine):
    """A bar over trainings, whichever command trains.

    Args:
        label: Stands before the bar.
        units: What the bar counts, in the plural.
        before: What is said before the time left.
        after: What is said after it.

    Attributes:
        per_item: Trainings of each item that the bar counts.
    """

    def __init__(
        self, label: str, units: str, *, before: Parts = tuple, after: Parts = tuple
    ) -> None:
        super().__init__(label, units, self._parts)
        self.before, self.after = before, after
        self.per_item = 1
        self.all.partly = self._partly
        self.left = TimeLeft(0)

    def open(self, total: int, done: int, *, trainings: int | None = None) -> None:
        """Show the bar.

        Args:
            total: What there is to do.
            done: What was done before.
            trainings: Trainings that are left; by default one for each that is left to do.
        """
        self.left = TimeLeft(total - done if trainings is None else trainings)
        self.start(total, done)

    def begin(self, key: Hashable, label: str) -> None:
        """Show a training, unless it is there: it may begin again."""
        if key not in self.rows:
            self.rows[key] = Row(f"  {label}", None, parts=lambda: ("starting",))

    def epoch(self, key: Hashable, label: str, report: EpochReport) -> None:
        """Show an epoch, and take it into the time left."""
        self.begin(key, label)
        self.left.epoch(key, report.epoch, report.epochs)
        parts = epoch_parts(report)
        row = self.rows[key]
        row.total, row.done, row.unit, row.parts = report.epochs, report.epoch, "epochs", _of(parts)
        text = "  ".join((label, f"epoch {report.epoch} of {report.epochs}", *parts))
        self.tell(f"{text}  ({self.left})" if str(self.left) else text)

    def step(self, key: Hashable, label: str, report: StepReport) -> None:
        """Show steps within an epoch, and take them into the time left."""
        self.begin(key, label)
        self.left.step(key, report.epoch, report.epochs, report.share)
        row = self.rows[key]
        if report.epoch == 1:  # until an epoch has something to tell
            row.parts = _of([f"step {report.step} of {report.steps}"])
        row.total, row.unit, row.done = report.epochs, "epochs", report.epoch - 1 + report.share
        self.tell(
            f"{label}  epoch {report.epoch} of {report.epochs}  step {report.step} of "
            f"{report.steps}  ({self.left})"
        )

    def drop(self, key: Hashable) -> None:
        """Show a training no longer, which did not end."""
        self.rows.pop(key, None)

    def end(self, key: Hashable) -> None:
        """Take a training that ended off the time left."""
        self.drop(key)
        self.left.end(key)

    def _partly(self) -> float:
        return sum(row.share for row in self.rows.values()) / self.per_item

    def _parts(self) -> Sequence[str]:
        elapsed = f"{self.left.elapsed} elapsed" if self.is_live else ""
        return (*self.before(), str(self.left), *self.after(), elapsed)


def epoch_parts(report: EpochReport) -> list[str]:
    """What an epoch reached, most telling first.

    >>> epoch_parts(EpochReport(0, 1, 5, 0.5, 0.75, rate=0.001))
    ['validation AUC 0.750', 'loss 0.500', 'rate 1.0e-03']
    """
    auc = [] if report.auc is None else [f"validation AUC {report.auc:.3f}"]
    rate = [] if report.rate is None else [f"rate {report.rate:.1e}"]
    # Said so that workers can be added.
    waits = [f"waiting {report.waiting:.0%} for TorchIO"] if report.waiting >= WORTH_SAYING else []
    return [*auc, f"loss {report.loss:.3f}", *waits, *rate]


def fold_label(fold: int) -> str:
    """Name of a fold in rows and lines."""
    return f"fold {fold:>2}"


def _of(parts: Sequence[str]) -> Callable[[], Sequence[str]]:
    return lambda: parts

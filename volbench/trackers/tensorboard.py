"""Curves as event files of TensorBoard.

Source: https://github.com/tensorflow/tensorboard (Apache-2.0), through torch.utils.tensorboard.
"""

import shlex
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from volbench.errors import PluginError
from volbench.interfaces import TrackedRun, Tracker

INSTALL = "pip install 'volbench[tensorboard]'"


class TensorBoard(Tracker):
    """Writes event files, one folder per fold. Source: TensorBoard.

    Look at them with ``tensorboard --logdir FOLDER``, which is said when a run ends.

    Args:
        folder: Gets ``RUN/fold-00`` and so on.

    Raises:
        PluginError: TensorBoard is not installed.

    >>> tracker = TensorBoard(folder="curves")
    >>> tracker.start(TrackedRun("mine", Path("runs/mine"), {"encoder": "rmc5"}))
    >>> tracker.log(fold=0, epoch=1, values={"train_loss": 0.7})
    >>> tracker.finish(fold=0, values={"auc": 0.8})
    >>> [folder.name for folder in Path("curves/mine").iterdir()]
    ['fold-00']
    """

    def __init__(self, *, folder: str = "tensorboard") -> None:
        if find_spec("tensorboard") is None:
            raise PluginError(f"tensorboard is not installed; install it: {INSTALL}")
        self.folder = Path(folder)
        self._run: TrackedRun | None = None
        self._writers: dict[int, Any] = {}

    def start(self, run: TrackedRun) -> None:
        """Remember the run; folders are made with the first values of a fold."""
        self._run = run

    def log(self, fold: int, epoch: int, values: Mapping[str, float]) -> None:
        """Write the values of an epoch, and show them without delay."""
        writer = self._writer(fold)
        for name, value in values.items():
            writer.add_scalar(name, value, epoch)
        writer.flush()

    def finish(self, fold: int, values: Mapping[str, float]) -> None:
        """Write the result of a fold and close its file."""
        writer = self._writer(fold)
        for name, value in values.items():
            writer.add_scalar(f"result/{name}", value, 0)
        writer.close()
        del self._writers[fold]

    def how_to_view(self) -> str:
        """The command that serves the folder, of all runs."""
        return shlex.join(["tensorboard", "--logdir", str(self.folder)])

    def close(self) -> None:
        """Close the files of folds that did not finish."""
        while self._writers:
            self._writers.popitem()[1].close()

    def _writer(self, fold: int) -> Any:
        if fold not in self._writers:
            from torch.utils.tensorboard import SummaryWriter

            assert self._run is not None
            writer = SummaryWriter(str(self.folder / self._run.name / f"fold-{fold:02d}"))
            lines = [f"- {name}: `{value}`" for name, value in self._run.settings.items()]
            writer.add_text("experiment", "\n".join(lines))
            self._writers[fold] = writer
        return self._writers[fold]

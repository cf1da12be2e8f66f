"""Prepared data and splits shared by several plans."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from volbench.data.cache.packed_voxels import Prepared
from volbench.data.preparation.prepare_data import prepare
from volbench.data.preprocessing.options import Preprocessing
from volbench.errors import VolbenchError
from volbench.experiment.split_designs import choose_split
from volbench.experiment.splits import Split


class Shared:
    """Remembers what was prepared and divided, and what could not be."""

    def __init__(self) -> None:
        self._prepared: dict[tuple[str, str], Prepared | VolbenchError] = {}
        self._splits: dict[tuple[str, str, int], Split] = {}

    def prepare(
        self,
        data: Any,
        options: Preprocessing,
        *,
        root: Path | None,
        jobs: int | None,
        on_case: Callable[[int, int], None] | None,
    ) -> Prepared:
        """Prepare a data set, or open it, the first time; hand out the same after that.

        Raises:
            VolbenchError: it cannot be prepared; every time, without trying again.
        """
        key = (data if isinstance(data, str) else f"object {id(data)}", options.digest)
        if key not in self._prepared:
            try:
                found = prepare(data, options, root=root, jobs=jobs, on_case=on_case)
            except VolbenchError as error:
                self._prepared[key] = error
                raise
            self._prepared[key] = found
        known = self._prepared[key]
        if isinstance(known, VolbenchError):
            raise known
        return known

    def split(self, folds: str, prepared: Prepared, seed: int) -> Split:
        """Divide prepared data as ``--folds`` says; the same data are divided once.

        The split holds the cases of ``prepared``, so another preprocessing is another one.
        """
        key = (folds, f"{prepared.folder} {prepared.digest}", seed)
        if key not in self._splits:
            self._splits[key] = choose_split(folds, prepared.cases, seed, prepared.classes)
        return self._splits[key]

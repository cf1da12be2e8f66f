"""Ensemble of all finished folds of a run: mean of their probabilities."""

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from jaxtyping import Float

from volbench._utils.text import plural
from volbench.data.cache.packed_voxels import Prepared
from volbench.data.loading.loader import Loader
from volbench.data.preparation.case import CaseGeometry
from volbench.datasets.torchio import Subject
from volbench.errors import DataError
from volbench.interfaces import Case
from volbench.predict.preparation import OnStep, VolumePreparation
from volbench.predict.results import Predicted
from volbench.predict.seen_in_training import in_words, seen_in_training
from volbench.predict.trained_run import load_trained
from volbench.predict.training_range import (
    plane_problem,
    slices_problem,
    spacing_problem,
    training_range,
)
from volbench.predict.volumes import find_cases
from volbench.runs.splits_file import read_splits
from volbench.training.device_and_precision import choose_compute
from volbench.training.inference import Scores, predict

logger = logging.getLogger(__name__)


class Ensemble:
    """A run's networks, ready to predict. Not for clinical use.

    Args:
        run: The run's folder; every finished fold is used.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        precision: ``float32`` or ``bfloat16``; ``auto`` is what the folds were scored in.

    Raises:
        StateError: it is no run, no fold is finished, or a file was changed.
        PluginError: a component that it was trained with is not installed.
        UsageError: the device is not there.

    >>> from volbench.datasets.phantom import Phantom
    >>> ensemble = Ensemble("trained/mine")
    >>> scans = Phantom(patients=12, size=16, slices=4).cases()[:2]  # or paths of files
    >>> for one in ensemble.predict(scans, anyway=True):
    ...     print(one.case.name, sorted(one.probabilities))
    phantom-00000 ['T2', 'T3']
    phantom-00001 ['T2', 'T3']
    """

    def __init__(self, run: str | Path, *, device: str = "auto", precision: str = "auto") -> None:
        self.trained = load_trained(Path(run))
        self.folds = tuple(self.trained.networks)
        if precision == "auto":
            precision = self.trained.run.results[self.folds[0]].precision or "auto"
        self.compute = choose_compute(device, precision, jobs=1)
        logger.info(
            "%s: networks of folds %s on %s in %s",
            run,
            ", ".join(map(str, self.folds)),
            self.compute.device,
            self.compute.precision,
        )
        self.range = training_range(self.trained.run, self.folds)
        self.split = read_splits(self.trained.run.path / "splits.csv")

    def __repr__(self) -> str:
        where = f"{plural(len(self.folds), 'fold')} on {self.compute.device}"
        return f"<ensemble of {str(self.trained.run.path)!r}: {where}>"

    def predict(
        self,
        volumes: Sequence[str | Path | Subject | Case],
        *,
        mask: Path | None = None,
        anyway: bool = False,
        jobs: int = 1,
        on_case: OnStep | None = None,
        on_fold: OnStep | None = None,
        preparation: VolumePreparation | None = None,
    ) -> list[Predicted]:
        """Predict volumes; if one cannot be used, none is predicted.

        Args:
            volumes: Images, DICOM folders, manifests and TorchIO subjects, or cases made by
                ``find_cases``. Of a subject, scalar images are channels, under the names of
                training if there are several, and the label map is the region of interest.
            mask: Region of interest of the only volume.
            anyway: Accept spacings that the run was not trained on, with a warning.
            jobs: Processes that read and prepare.
            on_case: Called with the number of volumes prepared and their total.
            on_fold: Called with the number of folds that have predicted and their total.
            preparation: Keeps what is prepared for other runs that predict the same volumes.

        Raises:
            DataError: a volume is missing, damaged or unlike those that the run was trained on.
            UsageError: the same case twice, or a mask that belongs to no single volume.
        """
        named = [volume for volume in volumes if not isinstance(volume, Case)]
        cases = [volume for volume in volumes if isinstance(volume, Case)]
        if named or not cases:
            cases += find_cases(named, self.trained, mask=mask)
        if self.range is None and not anyway:
            raise DataError(f"{self._unknown_spacing()}; use --anyway, or train it again")
        warned: dict[str, str] = {}

        def check(case: Case, facts: CaseGeometry) -> str | None:
            if self.range is None:
                return None
            fatal = plane_problem(facts, self.range) or slices_problem(facts, self.range)
            if fatal:
                return fatal
            other = spacing_problem(facts, self.range)
            if other and anyway:
                warned[case.name] = other
                return None
            return other and f"{other}; use a run trained on such volumes, or --anyway"

        with nullcontext(preparation) if preparation else VolumePreparation() as shared:
            prepared = shared.prepare(cases, self.trained, check=check, jobs=jobs, on_case=on_case)
            scores = self._scores(prepared, on_fold)
        return [
            self._predicted(index, case, prepared, scores, warned.get(case.name))
            for index, case in enumerate(cases)
        ]

    @property
    def warnings(self) -> list[str]:
        """What a reader must know of the run itself, in one line each."""
        shortfall = self.trained.shortfall()
        unknown = [] if self.range else [self._unknown_spacing()]
        return [*([shortfall] if shortfall else []), *unknown]

    def _unknown_spacing(self) -> str:
        return (
            f"{self.trained.run.path} is from before the spacing of its training cases was kept, "
            "so no volume can be compared with them"
        )

    def _scores(self, prepared: Prepared, on_fold: OnStep | None) -> list[Scores]:
        """Score all volumes with each fold's network, just as its held-out cases were."""
        device = self.compute.enter()
        loader = Loader(prepared, device)
        everything = range(len(prepared.cases))
        found = []
        for done, network in enumerate(self.trained.networks.values(), start=1):
            scores = predict(
                network.to(device), loader, prepared, everything, self.compute, self.trained.views
            )
            found.append(scores)
            if on_fold:
                on_fold(done, len(self.folds))
        if not all(np.isfinite(scores.probabilities).all() for scores in found):
            raise DataError(
                f"{self.trained.run.path}: its networks give no finite probability for these "
                "volumes; check their intensities with volbench data check"
            )
        return found

    def _predicted(
        self,
        index: int,
        case: Case,
        prepared: Prepared,
        scores: Sequence[Scores],
        warning: str | None,
    ) -> Predicted:
        mine = scores[0].cases == index
        items: Float[np.ndarray, "fold item class"] = np.stack(
            [one.probabilities[mine] for one in scores]
        )
        numbers = scores[0].slices[mine]
        known = seen_in_training(case, self.split, self.trained.run, self.folds)
        warnings = [f"case {case.name}: {warning}"] if warning else []
        if known:
            warnings.append(in_words(case, known, self.trained.classes))
        return Predicted(
            case=case,
            classes=self.trained.classes,
            folds=self.folds,
            by_fold=items.mean(axis=1),
            by_slice={
                int(number): items[:, position]
                for position, number in enumerate(numbers)
                if number >= 0
            },
            shape=prepared.cases[index].stored_shape,
            spacing_mm=prepared.cases[index].stored_spacing_mm,
            in_sample=known,
            warnings=tuple(warnings),
        )

"""Contract of a data set: subclass ``DatasetContract`` and set ``spec``.

from volbench.testing import DatasetContract

class TestKnees(DatasetContract):
    spec = 'knees(path="knees")'
"""

import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
import torch

from volbench.data.reading import fingerprint, read_case
from volbench.errors import VolbenchError
from volbench.interfaces import Case, Dataset, Files
from volbench.plugins.discovery import on_one_line
from volbench.plugins.registry import datasets
from volbench.testing.component import ComponentContract
from volbench.types import Scan

PLANES = (None, "axial", "coronal", "sagittal")


class DatasetContract(ComponentContract):
    """What every data set must do.

    Attributes:
        spec: The data set under test.
        listing_seconds: How long listing its cases may take.
        largest_case: Bytes a case may have on its way to another process.

    >>> class TestOurs(DatasetContract):  # pytest collects its tests
    ...     spec = "phantom(patients=4, size=16, slices=3)"
    >>> any(name.startswith("test_") for name in dir(TestOurs))
    True
    """

    registry = datasets
    context = 0
    listing_seconds: float = 20.0
    largest_case: int = 100_000

    @pytest.fixture
    def dataset(self) -> Dataset:
        """The data set of ``spec``."""
        return self.build(seed=0)

    def build(self, *, seed: int) -> Dataset:
        """Build ``spec``; what it draws must follow from its own options."""
        torch.manual_seed(seed)
        return datasets.build(self.spec, Dataset)

    def use(self, component: Dataset) -> Scan:
        """List the cases and read the first."""
        return read_case(component.cases()[0])

    def sample(self, dataset: Dataset) -> list[Case]:
        """The cases that are read: the first of each class, and the last of all."""
        cases = dataset.cases()
        first = {case.label: case for case in reversed(cases)}
        return [*first.values(), *([cases[-1]] if cases[-1] not in first.values() else [])]

    def test_its_card_says_what_a_reader_must_know(self, dataset: Dataset) -> None:
        """Nobody may use a data set without its licence, nor publish without its citation."""
        for part in ("title", "licence", "citation"):
            text = getattr(getattr(dataset, "card", None), part, None)
            assert isinstance(text, str), self.says(f"its card has no {part}; give it a Card")
            assert text.strip(), self.says(f"the {part} of its card is empty; fill it in")

    def test_its_classes_and_channels_have_names(self, dataset: Dataset) -> None:
        """They head the columns of every result."""
        for what, names, least in (
            ("classes", dataset.classes, 2),
            ("channels", dataset.channels, 1),
        ):
            assert isinstance(names, tuple), self.says(f"its {what} are {names!r}, not a tuple")
            assert len(names) >= least, self.says(f"has {len(names)} {what}; name {least} or more")
            self.check_texts(names, f"one of its {what}")
            assert len(set(names)) == len(names), self.says(f"its {what} {names} repeat a name")

    def test_its_cases_have_names_patients_and_labels(self, dataset: Dataset) -> None:
        """A patient is never in two folds, so everybody needs a name."""
        cases = dataset.cases()
        assert cases, self.says("has no cases")
        self.check_texts([case.name for case in cases], "the name of a case")
        self.check_texts([case.patient for case in cases], "the patient of a case")
        twice = [name for name, times in Counter(case.name for case in cases).items() if times > 1]
        assert not twice, self.says(
            f"{len(twice)} names of cases are not unique, {twice[:1]} for one; number them"
        )
        strange = sorted({str(case.label) for case in cases} - set(dataset.classes))
        assert not strange, self.says(f"labels {strange} are not among its classes")
        used = {case.label for case in cases}
        assert len(used) > 1, self.says(f"all cases are {used}; there is nothing to learn")

    def test_its_strata_and_folds_are_text(self, dataset: Dataset) -> None:
        """Columns to report by, and the data set's own split if it has one."""
        folds = defaultdict(set)
        for case in dataset.cases():
            plain = isinstance(case.strata, Mapping) and all(
                isinstance(part, str) for item in case.strata.items() for part in item
            )
            assert plain, self.says(f"strata of {case.name} are {case.strata!r}, not text to text")
            assert case.fold is None or (isinstance(case.fold, str) and case.fold), self.says(
                f"the fold of {case.name} is {case.fold!r}; make it text, or None"
            )
            folds[case.patient].add(case.fold)
        torn = [patient for patient, found in folds.items() if len(found) > 1]
        assert not torn, self.says(f"patient {torn[:1]} is in several folds; mend its own split")

    def test_listing_its_cases_is_quick_and_always_the_same(self, dataset: Dataset) -> None:
        """It is done at every start, and the folds follow from it."""
        start = time.perf_counter()
        first = list(map(_facts, dataset.cases()))
        took = time.perf_counter() - start
        assert took < self.listing_seconds, self.says(
            f"cases() takes {took:.0f} s; read voxels in Generated.render, not before"
        )
        again = [list(map(_facts, d.cases())) for d in (dataset, self.build(seed=1))]
        assert first == again[0], self.says("cases() differs from call to call; fix their order")
        assert first == again[1], self.says(
            "built twice, its cases differ; sort what a folder lists, and draw from a seed of its "
            "own"
        )

    def test_its_files_exist(self, dataset: Dataset) -> None:
        """A missing file is to be found before training starts."""
        for case, source in _files(dataset.cases()):
            assert len(source.images) == len(dataset.channels), self.says(
                f"{case.name} has {len(source.images)} images, but {len(dataset.channels)} channels"
            )
            for path in (*source.images, *([source.mask] if source.mask else [])):
                assert path.exists(), self.says(f"{path} of {case.name} does not exist")
            assert source.plane in PLANES, self.says(
                f"the plane of {case.name} is {source.plane!r}, not one of {PLANES}"
            )

    def test_reading_a_case_gives_sound_voxels(self, dataset: Dataset) -> None:
        """Finite, with all channels, on one grid; the same when read again."""
        for case in self.sample(dataset):
            scan = self.read(case)
            channels, slices, *plane = scan.image.shape
            assert channels == len(dataset.channels), self.says(
                f"{case.name} has {channels} channels, but the data set {len(dataset.channels)}"
            )
            assert np.isfinite(scan.image).all(), self.says(f"{case.name} holds NaN or infinity")
            spacing = np.asarray(scan.spacing_mm)
            assert (spacing > 0).all() and np.isfinite(spacing).all(), self.says(  # noqa: PT018
                f"the spacing of {case.name} is {scan.spacing_mm}; give mm, all above 0"
            )
            size = dataset.native_size
            assert size is None or plane == [size, size], self.says(
                f"{case.name} is {plane} in-plane, but native_size says {size}"
            )
            wrong = [n for n in (*case.representative, *scan.representative) if not 0 <= n < slices]
            assert not wrong, self.says(
                f"{case.name} has {slices} slices, but representative slice {wrong[:1]}"
            )
            if scan.mask is not None:
                assert scan.mask.shape == scan.image.shape[1:], self.says(
                    f"the mask of {case.name} is {scan.mask.shape}, not {scan.image.shape[1:]}"
                )
                assert scan.mask.any(), self.says(f"the mask of {case.name} is empty; give None")
            assert np.array_equal(self.read(case).image, scan.image), self.says(
                f"{case.name} differs when read again; draw from a seed of its own"
            )

    def test_fingerprints_follow_the_voxels(self, dataset: Dataset) -> None:
        """They name the data in every run, and say when a cache is out of date."""
        cases = self.sample(dataset)
        prints = [fingerprint(case) for case in cases]
        assert prints == [fingerprint(case) for case in cases], self.says(
            "a fingerprint changes from call to call; make it of what decides the voxels"
        )
        voxels: dict[str, np.ndarray] = {}
        for case, print_ in zip(cases, prints, strict=True):
            image = self.read(case).image
            assert np.array_equal(voxels.setdefault(print_, image), image), self.says(
                f"{case.name} has the fingerprint of another case; put into it whatever decides "
                "the voxels"
            )

    def test_its_cases_travel_to_other_processes(self, dataset: Dataset) -> None:
        """Volumes are prepared by workers."""
        for case in self.sample(dataset):
            try:
                parcel = bytes(ForkingPickler.dumps(case))
                arrived = ForkingPickler.loads(parcel)
            except Exception as error:
                pytest.fail(
                    self.says(
                        f"{case.name} cannot be sent to a worker ({on_one_line(error)}); "
                        "make its source a frozen dataclass of plain values at the top of a module"
                    )
                )
            assert len(parcel) <= self.largest_case, self.says(
                f"{case.name} weighs {len(parcel)} bytes; keep where its voxels are, not the voxels"
            )
            assert fingerprint(arrived) == fingerprint(case), self.says(
                f"{case.name} has another fingerprint in a worker"
            )

    def read(self, case: Case) -> Scan:
        """Read a case as volbench does."""
        try:
            return read_case(case)
        except VolbenchError as error:
            pytest.fail(self.says(f"{case.name} cannot be read: {error}"))

    def check_texts(self, texts: Sequence[object], what: str) -> None:
        """Assert that they are text, and not blank."""
        for text in texts:
            assert isinstance(text, str) and text.strip() == text != "", self.says(  # noqa: PT018
                f"{what} is {text!r}; make it text, not empty, without spaces around it"
            )


def _facts(case: Case) -> tuple[object, ...]:
    return (
        case.name,
        case.patient,
        case.label,
        case.source if isinstance(case.source, Files) else type(case.source),
        case.representative,
        dict(case.strata),
        case.fold,
    )


def _files(cases: Sequence[Case]) -> Iterator[tuple[Case, Files]]:
    for case in cases:
        if isinstance(case.source, Files):
            yield case, case.source

"""Every data set fulfils the contract, and the contract finds what is wrong with the others."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import SimpleITK

from volbench.interfaces import Card, Case, Dataset, Files, Generated
from volbench.plugins.registry import datasets
from volbench.testing import DatasetContract
from volbench.types import Scan


def small_manifest(folder):
    rows = ["image,label,patient,mask,representative,fold,site"]
    for number in range(4):
        voxels = np.random.default_rng(number).normal(100, 20, (3, 8, 8)).astype(np.float32)
        mask = np.zeros((3, 8, 8), np.uint8)
        mask[1, 2:5, 2:5] = 1
        for name, array in ((f"{number}.nii.gz", voxels), (f"mask{number}.nii.gz", mask)):
            image = SimpleITK.GetImageFromArray(array)
            image.SetSpacing((0.5, 0.5, 4.0))
            SimpleITK.WriteImage(image, str(folder / name))
        label = "T2" if number % 2 else "T3"
        rows.append(f"{number}.nii.gz,{label},p{number},mask{number}.nii.gz,1,{number % 2},Lyon")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    return f"manifest(path={str(folder / 'manifest.csv')!r})"


def small_medmnist(folder):
    arrays = {}
    for split in ("train", "val", "test"):
        random = np.random.default_rng(len(split))
        arrays[f"{split}_images"] = random.integers(0, 256, (4, 8, 8, 8), np.uint8)
        arrays[f"{split}_labels"] = (np.arange(4) % 2).astype(np.uint8)[:, None]
    np.savez_compressed(folder / "adrenalmnist3d.npz", **arrays)
    return f"medmnist(path={str(folder / 'adrenalmnist3d.npz')!r}, keep_every=2)"


NEEDS_FILES = {"manifest": small_manifest, "medmnist": small_medmnist}


@pytest.mark.parametrize("name", datasets)
class TestEveryDataset(DatasetContract):
    @pytest.fixture(autouse=True)
    def _spec(self, name, tmp_path):
        small = {
            "phantom": "phantom(patients=4, size=16, slices=3)",
            "torchio": 'torchio(source="tests.helpers.subjects:cohort")',
        }
        self.spec = NEEDS_FILES[name](tmp_path) if name in NEEDS_FILES else small.get(name, name)


@dataclass(frozen=True)
class Noise(Generated):
    seed: int

    def fingerprint(self):
        return f"noise {self.seed}"

    def render(self):
        voxels = np.random.default_rng(self.seed).normal(size=(1, 3, 8, 8)).astype(np.float32)
        return Scan(image=voxels, spacing_mm=(4.0, 1.0, 1.0))


class Sound(Dataset):
    """A data set that is sound but for what a test changes (made up here, 2026)."""

    card = Card(title="Noise", licence="none", citation="none")
    classes = ("a", "b")

    def cases(self):
        return [Case(f"c{n}", f"p{n}", self.classes[n % 2], Noise(n)) for n in range(4)]


def with_case(**changes):
    """The sound data set, but for its first case."""

    class Changed(Sound):
        def cases(self):
            first, *others = super().cases()
            return [replace(first, **changes), *others]

    return Changed


def with_class(**changes):
    return type("Changed", (Sound,), changes)


class NanInside(Noise):
    def render(self):
        scan = super().render()
        scan.image[0, 1, 2, 3] = np.nan
        return scan


class AlwaysAnother(Noise):
    def fingerprint(self):
        return f"{np.random.default_rng().random()}"


class AllAlike(Noise):
    def fingerprint(self):
        return "noise"


class DrawsAnew(Noise):
    def render(self):
        voxels = np.random.default_rng().normal(size=(1, 3, 8, 8)).astype(np.float32)
        return Scan(image=voxels, spacing_mm=(4.0, 1.0, 1.0))


class FlatWorld(Noise):
    def render(self):
        return replace(super().render(), spacing_mm=(0.0, 1.0, 1.0))


class Drawn(Sound):
    def cases(self):
        order = np.random.default_rng().permutation(100)
        return [Case(f"c{n}", f"p{n}", self.classes[n % 2], Noise(n)) for n in order]


class Torn(Sound):
    def cases(self):
        return [replace(case, patient="p", fold=str(n)) for n, case in enumerate(super().cases())]


class Twins(Sound):
    def cases(self):
        return [replace(case, source=AllAlike(n)) for n, case in enumerate(super().cases())]


class Heavy(Noise):
    def __init__(self, seed):
        object.__setattr__(self, "seed", seed)
        object.__setattr__(self, "voxels", np.zeros(100_000))


def local_source():
    class Local(Noise):
        pass

    return Local(0)


@pytest.mark.parametrize(
    ("wrong", "test", "message"),
    [
        (with_class(card=Card("t", "", "c")), "its_card_says_what_a_reader_must_know", "licence"),
        (with_class(classes=("a",)), "its_classes_and_channels_have_names", "has 1 classes"),
        (with_class(channels=("x", "x")), "its_classes_and_channels_have_names", "repeat a name"),
        (with_case(name="c1"), "its_cases_have_names_patients_and_labels", "not unique"),
        (with_case(patient=""), "its_cases_have_names_patients_and_labels", "the patient of a"),
        (with_case(label="z"), "its_cases_have_names_patients_and_labels", "not among its classes"),
        (with_case(fold=""), "its_strata_and_folds_are_text", "fold of c0"),
        (Torn, "its_strata_and_folds_are_text", "in several folds"),
        (Drawn, "listing_its_cases_is_quick_and_always_the_same", "differs from call to call"),
        (with_case(source=NanInside(0)), "reading_a_case_gives_sound_voxels", "c0"),
        (with_case(source=DrawsAnew(0)), "reading_a_case_gives_sound_voxels", "when read again"),
        (with_case(source=FlatWorld(0)), "reading_a_case_gives_sound_voxels", "c0"),
        (with_case(representative=(3,)), "reading_a_case_gives_sound_voxels", "c0"),
        (with_class(native_size=9), "reading_a_case_gives_sound_voxels", "native_size says 9"),
        (with_case(source=AlwaysAnother(0)), "fingerprints_follow_the_voxels", "call to call"),
        (Twins, "fingerprints_follow_the_voxels", "fingerprint of another"),
        (with_case(source=Heavy(0)), "its_cases_travel_to_other_processes", "weighs"),
        (with_case(source=local_source()), "its_cases_travel_to_other_processes", "sent to a work"),
    ],
)
def test_the_contract_tells_what_is_wrong(wrong, test, message):
    contract = DatasetContract()
    contract.spec = "wrong"
    failures = (AssertionError, pytest.fail.Exception)
    with datasets.adding(wrong=wrong), pytest.raises(failures, match=f"dataset wrong: .*{message}"):
        getattr(contract, f"test_{test}")(contract.build(seed=0))


def test_the_contract_misses_files_that_are_not_there(tmp_path):
    wrong = with_case(source=Files((tmp_path / "gone.nii.gz",)))
    contract = DatasetContract()
    contract.spec = "wrong"
    with datasets.adding(wrong=wrong), pytest.raises(AssertionError, match=r"gone\.nii\.gz of c0"):
        contract.test_its_files_exist(contract.build(seed=0))


def test_the_contract_compares_the_grids_of_mask_and_image(monkeypatch):
    contract = DatasetContract()
    contract.spec = "sound"
    scan = Noise(0).render()
    object.__setattr__(scan, "mask", np.ones((3, 4, 4), bool))  # past the checker of types
    monkeypatch.setattr(contract, "read", lambda case: scan)
    with pytest.raises(AssertionError, match=r"mask of c. is \(3, 4, 4\), not \(3, 8, 8\)"):
        contract.test_reading_a_case_gives_sound_voxels(Sound())


class TestSound(DatasetContract):
    spec = "sound"

    @pytest.fixture(autouse=True)
    def _added(self):
        with datasets.adding(sound=Sound):
            yield

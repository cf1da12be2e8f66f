"""A TorchIO user's subjects as a data set: by import path, by call, by entry point, in memory."""

import importlib.metadata
import pickle

import numpy as np
import pytest
import torchio as tio

from tests.helpers.subjects import cohort, subject
from volbench.data.checking.check import check
from volbench.data.preparation.prepare_data import prepare
from volbench.data.preprocessing.options import Preprocessing
from volbench.data.reading import fingerprint, read_case
from volbench.data.sources import as_dataset, open_dataset
from volbench.datasets.torchio import TorchIO
from volbench.errors import DataError, SpecError, UsageError
from volbench.spec import Spec

HERE = "tests.helpers.subjects"


def test_an_import_path_names_a_function_or_an_object():
    dataset, spec = open_dataset(f'torchio(source="{HERE}:cohort", strata=("site",))')
    assert str(spec) == f"torchio(source='{HERE}:cohort', strata=('site',))"
    assert (dataset.classes, dataset.channels) == (("benign", "malignant"), ("t2w",))
    first = dataset.cases()[0]
    assert (first.name, first.patient, first.label) == ("p0", "p0", "benign")
    assert first.strata == {"site": "B"}
    assert len(open_dataset(f'torchio(source="{HERE}:IN_MEMORY")')[0].cases()) == 4


def test_a_call_gives_arguments_and_other_names_of_attributes():
    dataset, _ = open_dataset(
        f'torchio(source={HERE}.staged(site="Q"), label="stage", patient="pid", name="patient")'
    )
    assert [case.patient for case in dataset.cases()] == ["Q0", "Q1", "Q2", "Q3"]
    assert dataset.cases()[1].name == "p1"


def test_an_entry_point_names_subjects(monkeypatch):
    entry = importlib.metadata.EntryPoint("lab", f"{HERE}:cohort", "volbench.subjects")
    monkeypatch.setattr("volbench.datasets.torchio.entry_points", lambda group: [entry])
    assert len(TorchIO(source="lab").cases()) == 8
    with pytest.raises(SpecError, match=r"'lob' is neither .* nor an entry point .*\(lab\)"):
        TorchIO(source="lob")


def test_voxels_and_region_are_those_of_the_subject():
    scan = read_case(TorchIO(source=cohort()).cases()[1])
    made = cohort()[1]
    assert np.array_equal(scan.image[0], made["t2w"].data[0].numpy().T)
    assert np.array_equal(scan.mask, made["roi"].data[0].numpy().T > 0)
    assert scan.spacing_mm == (4.0, 0.5, 0.5)


def test_a_transform_of_the_data_set_is_applied_and_changes_the_fingerprint():
    clamped = TorchIO(source=cohort(transform=tio.Clamp(0.2, 0.8)))
    scan = read_case(clamped.cases()[0])
    assert (scan.image.min(), scan.image.max()) == (np.float32(0.2), np.float32(0.8))
    assert fingerprint(clamped.cases()[0]) != fingerprint(TorchIO(source=cohort()).cases()[0])


def test_a_random_transform_would_be_frozen_and_is_refused():
    random = tio.Compose([tio.ToCanonical(), tio.RandomNoise()])
    with pytest.raises(DataError, match=r"RandomNoise, which is random.*torchio\.RandomNoise"):
        TorchIO(source=cohort(transform=random))


def test_a_data_set_with_items_of_its_own_is_asked_for_them():
    class Shifted(tio.SubjectsDataset):
        def __getitem__(self, index):
            made = super().__getitem__(index)
            made["t2w"].set_data(made["t2w"].data + 100)
            return made

    dataset = TorchIO(source=Shifted(list(cohort().dry_iter())))
    assert read_case(dataset.cases()[0]).image.min() >= 100


def test_a_generator_of_subjects_is_taken():
    assert len(TorchIO(source=(subject(number) for number in range(4))).cases()) == 4


def test_cases_go_to_worker_processes():
    case = pickle.loads(pickle.dumps(TorchIO(source=cohort()).cases()[0]))
    assert read_case(case).image.shape == (1, 5, 18, 20)


def test_subjects_are_prepared_once_and_then_opened(tmp_path):
    options = Preprocessing(size=8, crop="roi", margin=0)
    heard = []
    first = prepare(cohort(), options, root=tmp_path, jobs=1)
    again = prepare(
        cohort(), options, root=tmp_path, jobs=1, on_case=lambda done, total: heard.append(done)
    )
    assert (first.folder, heard) == (again.folder, [])
    assert first.source == "subjects in memory"
    assert first.mask(0)[1:4].all()
    assert not first.mask(0)[[0, 4]].any()
    assert first.cases[0].affine is not None


def test_the_check_says_that_only_the_reader_vouches(tmp_path):
    (note,) = [note for note in check(TorchIO(source=cohort())).notes if "vouches" in note]
    assert note.startswith("8 of 8 volumes (in memory) cannot be verified")


def test_medmnist_of_torchio_is_called_by_name(monkeypatch):
    def made(split):
        return tio.SubjectsDataset(
            [
                tio.Subject(image=one["t2w"], labels=np.array([number % 2]))
                for number, one in enumerate(cohort().dry_iter())
            ]
        )

    monkeypatch.setattr(tio.datasets, "NoduleMNIST3D", made)
    dataset = TorchIO(source=Spec("NoduleMNIST3D", (("split", "train"),)))
    assert (dataset.classes, dataset.channels) == (("0", "1"), ("image",))
    assert dataset.cases()[1].patient == "subject-00001"


@pytest.mark.parametrize(
    ("source", "options", "reason"),
    [
        (f"{HERE}:nothing", {}, "has no 'nothing'"),
        ("no_such_module:x", {}, "cannot be imported .*on PYTHONPATH"),
        (Spec("NoSuchSet"), {}, "has no data set 'NoSuchSet'; those with a label are"),
        (Spec("RSNAMICCAI", (("root_dir", "/nowhere"),)), {}, "gives no subjects"),
        (f"{HERE}:cohort", {"label": "grade"}, "subject 0 has no attribute 'grade'; it has: label"),
        (f"{HERE}:cohort", {"images": ("dwi",)}, "no scalar image 'dwi'; there are: t2w"),
        (f"{HERE}:cohort", {"classes": ("a", "b")}, "is none of classes"),
        (f"{HERE}:cohort", {"plane": "oblique"}, "plane must be one of"),
        (f"{HERE}:cohort", {"mask": "liver"}, "has no image 'liver'"),
        (7, {}, "got int, not a SubjectsDataset"),
        ([1, 2], {}, "got a int where a Subject is needed"),
        ([], {}, "no subjects"),
    ],
)
def test_what_gives_no_labelled_subjects_is_refused_in_a_line(source, options, reason):
    with pytest.raises((SpecError, DataError, ValueError), match=reason) as caught:
        TorchIO(source=source, **options)
    assert "\n" not in str(caught.value)


def test_data_in_python_is_one_of_four_things():
    assert as_dataset("phantom(patients=8)")[1] == "phantom(patients=8, version=2)"
    assert as_dataset(cohort())[1] == "subjects in memory"
    assert as_dataset(TorchIO(source=cohort()))[1] == "TorchIO"
    with pytest.raises(UsageError, match="data is a int; give a spec"):
        as_dataset(3)

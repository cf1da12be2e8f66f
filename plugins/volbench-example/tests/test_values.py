"""What each component computes, against its formula."""

import csv

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from volbench.errors import DataError
from volbench.interfaces import CaseGenerator, Problem, TrackedRun
from volbench.types import Output

from volbench_example.class_folders import ClassFolders
from volbench_example.csv_curves import CsvCurves
from volbench_example.cutout import Cutout
from volbench_example.generalized_cross_entropy import GeneralizedCrossEntropy
from volbench_example.lenet import LeNet
from volbench_example.top_k import TopK


def test_a_token_of_lenet_depends_on_its_own_slice_only():
    encoder, volume = LeNet(1, width=4).eval(), torch.rand(1, 1, 3, 12, 12)
    changed = volume.clone()
    changed[:, :, 0] = 0
    torch.testing.assert_close(encoder(changed)[:, 1:], encoder(volume)[:, 1:])


@pytest.mark.parametrize("k", [1, 2, 9])
def test_top_k_is_the_mean_of_the_largest_in_numpy(k):
    tokens = torch.randn(1, 5, 4)
    expected = np.sort(tokens[0].numpy(), axis=0)[::-1][:k].mean(axis=0)
    np.testing.assert_allclose(TopK(4, k=k)(tokens)[0].numpy(), expected, rtol=1e-6)


def test_generalized_cross_entropy_lies_between_cross_entropy_and_absolute_error():
    logits, labels = torch.randn(6, 3), torch.tensor([0, 1, 2, 2, 1, 0])
    output, problem = Output(logits, torch.zeros(6, 2)), Problem((2, 2, 2), 2)
    nearly = GeneralizedCrossEntropy(problem, q=1e-4)(output, labels)
    torch.testing.assert_close(nearly, F.cross_entropy(logits, labels), rtol=1e-3, atol=0)
    p = logits.softmax(1)[torch.arange(6), labels]
    torch.testing.assert_close(
        GeneralizedCrossEntropy(problem, q=1.0)(output, labels), (1 - p).mean()
    )


def test_cutout_clears_one_window_in_all_slices_of_a_case():
    volume, mask = torch.ones(50, 1, 3, 20, 30), torch.ones(50, 3, dtype=torch.bool)
    holes = Cutout(size=0.5)(volume, mask, CaseGenerator(range(50)))[:, 0] == 0
    assert (holes == holes[:, :1]).all()
    rows, columns = holes[:, 0].any(2).sum(1), holes[:, 0].any(1).sum(1)
    assert ((holes[:, 0].sum((1, 2))) == rows * columns).all()
    assert (rows.max(), columns.max()) == (10, 15)
    assert rows.min() < 10  # clipped at the border
    assert Cutout(size=0)(volume, mask, CaseGenerator(range(50))).equal(volume)


def test_class_folders_take_label_and_patient_from_the_path(tmp_path):
    for name in ("b/p1_left.nii.gz", "b/p1_right.nii.gz", "m/p2.mha", "m/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = ClassFolders(path=str(tmp_path), separator="_")
    assert [(case.name, case.patient, case.label) for case in found.cases()] == [
        ("b/p1_left", "p1", "b"),
        ("b/p1_right", "p1", "b"),
        ("m/p2", "p2", "m"),
    ]
    assert next(case.patient for case in ClassFolders(path=str(tmp_path)).cases()) == "p1_left"
    with pytest.raises(DataError, match="needs two folders"):
        ClassFolders(path=str(tmp_path / "b"))


def test_curves_are_one_table_over_several_runs(tmp_path):
    for name in ("a", "b"):
        tracker = CsvCurves(file=str(tmp_path / "there" / "curves.csv"))
        tracker.start(TrackedRun(name, tmp_path / name, {}))
        tracker.log(0, 1, {"train/loss": 0.5, "validation/auc": 0.75})
    with (tmp_path / "there" / "curves.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["run"] for row in rows] == ["a", "a", "b", "b"]
    assert list(rows[1].values()) == ["a", "0", "1", "validation/auc", "0.75"]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: LeNet(1, width=0), "width"),
        (lambda: TopK(4, k=0), "k must"),
        (lambda: GeneralizedCrossEntropy(Problem((1, 1), 2), q=1.5), "q must"),
        (lambda: Cutout(size=-0.1), "size must"),
    ],
)
def test_an_option_out_of_range_is_refused_by_name(make, said):
    with pytest.raises(ValueError, match=said):
        make()

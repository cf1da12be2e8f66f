"""TorchIO transforms in training: by hand, alone and in workers, the same voxels."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torchio as tio

from tests.helpers.small import write_small
from volbench.augmentations.chain import build_augmentation
from volbench.data.cache import open_prepared
from volbench.data.loading.prepared_subjects import PreparedSubjects, prepared_subject
from volbench.data.loading.subjects_loader import (
    WORKERS,
    SubjectBatches,
    augmented_case,
    worker_count,
)
from volbench.data.preprocessing.n4 import correct_bias
from volbench.errors import SpecError, TrainingError, UsageError

CPU = torch.device("cpu")
TRANSFORMS = [
    "torchio.RandomAffine(degrees=(0, 0, 0, 0, -20, 20), scales=0.1)",
    "torchio.RandomFlip(axes=(0, 1, 2))",
    "torchio.RandomAnisotropy(axes=(0, 1), downsampling=2)",
    "torchio.RandomElasticDeformation(num_control_points=5, max_displacement=(2, 2, 0))",
    "torchio.RandomAffineElasticDeformation",
    "torchio.RandomNoise(p=0.5)",
    "torchio.RandomBiasField(coefficients=0.3)",
    "torchio.RandomGhosting(p=0.7)",
    "torchio.RandomGamma(log_gamma=0.2)",
    "torchio.RandomBlur(std=(0, 1))",
    "torchio.RandomMotion(degrees=5)",
    "torchio.OneOf(transforms=(RandomNoise(), RandomBlur()))",
]
REQUESTS = [[(0, 11), (3, 12), (5, 13)], [(0, 14), (2, 11)]]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return write_small(tmp_path_factory.mktemp("small"))


def by_hand(prepared, transform, index, seed):
    """What a TorchIO user would write."""
    torch.manual_seed(seed)
    subject = transform(PreparedSubjects(prepared)[index])
    images = [subject[name].data for name in prepared.channels]
    return torch.cat(images).permute(0, 3, 2, 1)


@pytest.mark.filterwarnings("ignore:The maximum displacement")  # of so few voxels
@pytest.mark.parametrize("text", TRANSFORMS)
def test_what_the_network_gets_is_the_transform_done_by_hand(text, prepared):
    transform = build_augmentation(text).subject
    (batch, _) = SubjectBatches(prepared, transform, CPU, workers=0).batches(REQUESTS)
    for place, (index, seed) in enumerate(REQUESTS[0]):
        expected = by_hand(prepared, transform, index, seed)
        seen = batch.volume[place, :, : expected.shape[1]]
        assert torch.equal(seen, expected)
    assert batch.labels.tolist() == [prepared.cases[index].label for index, _ in REQUESTS[0]]


def test_any_number_of_workers_gives_the_same_bits(prepared):
    transform = build_augmentation("+".join(TRANSFORMS[:2] + TRANSFORMS[5:9])).subject
    alone = None
    for workers in (0, 1, 4):
        batches = SubjectBatches(prepared, transform, CPU, workers=workers)
        seen = [batch.volume for _ in range(2) for batch in batches.batches(REQUESTS)]
        alone = alone or seen
        assert all(map(torch.equal, seen, alone))


def test_workers_start_after_simpleitk_has_used_its_threads(prepared):
    correct_bias(np.random.default_rng(0).random((3, 32, 32), np.float32), (4.0, 1.0, 1.0))
    transform = build_augmentation("torchio.RandomAffine").subject
    batches = SubjectBatches(prepared, transform, CPU, workers=2)
    assert len(list(batches.batches(REQUESTS))) == 2


def test_a_case_does_not_depend_on_its_batch_nor_disturb_other_random_numbers(prepared):
    transform = build_augmentation("torchio.RandomNoise").subject
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    first = augmented_case(prepared, 3, transform, 12).volume
    assert torch.equal(torch.rand(3), expected)
    (batch, _) = SubjectBatches(prepared, transform, CPU, workers=0).batches(REQUESTS)
    assert torch.equal(batch.volume[1, :, : first.shape[1]], first)


def test_slices_that_pad_a_batch_are_zeros_under_the_mask(prepared):
    transform = build_augmentation("torchio.RandomNoise").subject
    for batch in SubjectBatches(prepared, transform, CPU, workers=0).batches(REQUESTS):
        lengths = [prepared.cases[index].slices for index in batch.cases]
        if batch.mask is None:
            assert len(set(lengths)) == 1
            continue
        assert batch.mask.sum(dim=1).tolist() == lengths
        for volume, length in zip(batch.volume, lengths, strict=True):
            assert not volume[:, length:].any()


def test_representative_slices_follow_a_flip_along_the_slices(prepared):
    case = prepared.cases[0]
    with_slice = replace(prepared, cases=(replace(case, representative=(0,)), *prepared.cases[1:]))
    flip = build_augmentation("torchio.RandomFlip(axes=(2,), flip_probability=1)").subject
    assert augmented_case(with_slice, 0, flip, 1).representative == (case.slices - 1,)
    noise = build_augmentation("torchio.RandomNoise").subject
    assert augmented_case(with_slice, 0, noise, 1).representative == (0,)


def test_a_mask_follows_the_transform(prepared):
    subject = prepared_subject(prepared, 0)
    region = torch.zeros_like(subject["image"].data, dtype=torch.uint8)
    region[:, 2:5, 3:6] = 1
    subject.add_image(tio.LabelMap(tensor=region, affine=subject["image"].affine), "mask")
    flipped = build_augmentation("torchio.RandomFlip(axes=(0,), flip_probability=1)").subject(
        subject
    )
    assert torch.equal(flipped["mask"].data, region.flip(1))


def test_a_transform_that_changes_the_size_is_refused_with_the_sizes(prepared):
    with pytest.raises(TrainingError, match="must keep the size"):
        augmented_case(prepared, 0, tio.Pad(2), 1)


def test_a_transform_that_fails_names_case_and_transform(prepared):
    labels = build_augmentation("torchio.RandomLabelsToImage(label_key='liver')").subject
    with pytest.raises(TrainingError, match=f"case {prepared.cases[0].name}: RandomLabelsToImage"):
        augmented_case(prepared, 0, labels, 1)


def test_torchio_comes_before_our_own_and_the_rest_is_a_chain():
    plan = build_augmentation("torchio.RandomNoise+torchio.RandomBlur+flip+affine")
    assert isinstance(plan.subject, tio.Compose)
    assert [type(step).__name__ for step in plan.batch.steps] == ["Flip", "Affine"]
    assert build_augmentation("flip").subject is None
    assert type(build_augmentation("torchio.RandomNoise").batch).__name__ == "NoAugmentation"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("flip+torchio.RandomNoise", "write torchio.RandomNoise before volbench's own"),
        ("0.5*torchio.RandomNoise", "has no weight"),
        ("torchio.Clamp(out_max=1)", "not random.*preprocessing.transforms=Clamp"),
        ("torchio.RandomNoise(st=2)", "no option 'st'. Did you mean 'std'"),
        ("torchio.RandomNoise(std=-1)", "RandomNoise"),
    ],
)
def test_what_is_no_augmentation_is_refused_with_the_way_out(text, reason):
    with pytest.raises(SpecError, match=reason):
        build_augmentation(text)


def test_the_number_of_workers_is_what_the_variable_says(monkeypatch):
    monkeypatch.delenv(WORKERS, raising=False)
    assert worker_count(1, CPU) == 0
    assert worker_count(4, CPU) == 2
    assert worker_count(16, torch.device("cuda")) == 4
    monkeypatch.setenv(WORKERS, "3")
    assert worker_count(1, CPU) == 3
    monkeypatch.setenv(WORKERS, "many")
    with pytest.raises(UsageError, match="VOLBENCH_AUGMENTATION_WORKERS='many'"):
        worker_count(1, CPU)


@pytest.mark.filterwarnings("ignore")  # matplotlib's, of whatever version
def test_a_prepared_subject_can_be_plotted(prepared, tmp_path, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    prepared_subject(prepared, 0).plot(show=False, output_path=tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 0


def test_what_a_subject_holds_is_the_cache(prepared):
    subject = PreparedSubjects(prepared)[1]
    stored = prepared.volume(1).astype(np.float32)
    assert np.array_equal(subject["image"].data[0].numpy(), stored[:, 0].T)
    assert subject["image"].spacing == pytest.approx(prepared.cases[1].spacing_mm[::-1])
    assert subject["case"] == prepared.cases[1].name
    assert open_prepared(prepared.folder).volume(1).any()

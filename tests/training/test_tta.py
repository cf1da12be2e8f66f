"""Test-time augmentation: the mean over views, drawn from the seed and the case's name."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.helpers.small import write_small
from volbench.data.loading.loader import Loader
from volbench.errors import SpecError
from volbench.experiment.recipe import load_recipe
from volbench.interfaces import Augmentation
from volbench.plugins.registry import augmentations
from volbench.spec import parse
from volbench.training.classifier import build_classifier, probabilities
from volbench.training.device_and_precision import choose_compute
from volbench.training.inference import predict
from volbench.training.tta import build_views

CPU = choose_compute("cpu", "float32", jobs=1)


class Raised(Augmentation):
    """Adds a number drawn for each case; evaluation sees everything one row smaller."""

    def __call__(self, volume, mask, generator):
        drawn = generator.uniform()[:, None, None, None, None]
        return (self.eval_view(volume) + drawn) * mask[:, None, :, None, None]

    def eval_view(self, volume):
        return volume[..., 1:, :]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return write_small(tmp_path_factory.mktemp("small"), cases=8)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return build_classifier(parse("r2d(width=2)"), parse("max"), in_channels=1, num_classes=2)


@pytest.fixture(autouse=True)
def _registered():
    with augmentations.adding(raised=Raised):
        yield


def views(*overrides, training="raised", seed=0):
    recipe = load_recipe("standard", (f"training.augmentation={training}", *overrides))
    return build_views(recipe, seed)


def scored(model, prepared, chosen, indices=range(8)):
    loader = Loader(prepared, torch.device("cpu"))
    return predict(model, loader, prepared, list(indices), CPU, chosen).probabilities


def by_hand(model, volumes):
    model.eval()
    with torch.inference_mode():
        return np.mean([probabilities(model(v, None, None)).double().numpy() for v in volumes], 0)


def test_without_passes_the_still_volume_is_scored(model, prepared):
    volume = torch.from_numpy(prepared.volume(3).astype(np.float32))
    expected = by_hand(model, [volume.movedim(0, 1)[None, :, :, 1:]])
    np.testing.assert_allclose(scored(model, prepared, views(), [3]), expected, atol=1e-6)


@pytest.mark.parametrize("passes", [1, 10])
def test_probabilities_are_averaged_over_the_views(model, prepared, passes):
    chosen = views(f"tta.passes={passes}")
    batch = next(Loader(prepared, torch.device("cpu")).batches([np.array([3])]))
    seen = list(chosen.of(batch, ["case003"]))
    assert len(seen) == passes == len({float(volume.mean()) for volume in seen})
    found = scored(model, prepared, chosen, [3])
    np.testing.assert_allclose(found, by_hand(model, seen), atol=1e-6)


def test_a_case_is_seen_alike_whatever_its_company(model, prepared):
    chosen = views("tta.passes=3")
    together = scored(model, prepared, chosen)
    alone = np.concatenate([scored(model, prepared, chosen, [index]) for index in range(8)])
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_cases_have_views_of_their_own(prepared):
    batch = next(Loader(prepared, torch.device("cpu")).batches([np.array([3, 3])]))
    (seen,) = views("tta.passes=1").of(batch, ["one", "another"])
    assert not torch.equal(seen[0], seen[1]), "the same image under two names"


def test_another_seed_gives_other_views(model, prepared):
    chosen = views("tta.passes=2")
    assert not np.allclose(
        scored(model, prepared, chosen),
        scored(model, prepared, replace(chosen, seed=1)),
        atol=1e-9,
    )


def test_views_may_be_drawn_by_another_augmentation_than_training(prepared):
    batch = next(Loader(prepared, torch.device("cpu")).batches([np.arange(8)]))
    names = [f"case{index:03d}" for index in range(8)]
    flipped = list(views("tta.passes=6", "tta.augmentation=flip(p=1)").of(batch, names))
    assert len(flipped) == 6
    for volume in flipped:
        assert torch.equal(volume, batch.volume[..., 1:, :].flip(-1))


def test_an_unknown_augmentation_is_refused_before_anything_is_read():
    with pytest.raises(SpecError, match=r"Unknown augmentation 'flop'\. Did you mean 'flip'\?"):
        views("tta.augmentation=flop")

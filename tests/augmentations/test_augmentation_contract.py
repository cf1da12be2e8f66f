import pytest
import torch

from volbench._utils.case_generator import CaseGenerator
from volbench.interfaces import Augmentation
from volbench.plugins.registry import augmentations
from volbench.testing.augmentations import AugmentationContract

VARIANTS = (
    "flip(p=1)",
    "affine(rotate_deg=90, scale=0.5, shift=0.3, brightness=1, contrast=1)",
    "affine(flip=0, rotate_deg=0, scale=0, shift=0)",
)


@pytest.mark.parametrize("spec", [*augmentations, *VARIANTS])
class TestEveryAugmentation(AugmentationContract):
    @pytest.fixture(autouse=True)
    def _spec(self, spec):
        self.spec = spec


class AddsNoise(Augmentation):
    def __call__(self, volume, mask, generator):
        return volume + torch.randn_like(volume)


class Brightens(Augmentation):
    def __call__(self, volume, mask, generator):
        return volume + generator.uniform()[:, None, None, None, None]


class WorksInPlace(Augmentation):
    def __call__(self, volume, mask, generator):
        return volume.mul_(2)


class NormalisesTheBatch(Augmentation):
    def __call__(self, volume, mask, generator):
        return volume / volume.std()


class NeverMoves(Augmentation):
    def __call__(self, volume, mask, generator):
        return volume.flip(-1)


class Waits(Augmentation):
    def __call__(self, volume, mask, generator):
        return volume.flip(-1) if generator.uniform().sum() > 1 else volume * float(volume.max())


@pytest.mark.parametrize(
    ("wrong", "test", "message"),
    [
        (AddsNoise, "test_the_same_seeds_give_the_same_result", "global generator"),
        (Brightens, "test_padding_stays_exactly_zero", "multiply by the mask"),
        (WorksInPlace, "test_leaves_its_input_alone", "changes its input in place"),
        (NormalisesTheBatch, "test_a_case_does_not_depend_on_its_batch", "each case on its own"),
        (NormalisesTheBatch, "test_constant_volumes_stay_finite", "NaN or infinity"),
        (NeverMoves, "test_successive_calls_go_on_drawing", "without drawing"),
        (Waits, "test_does_not_synchronise_with_the_host", "asks a tensor for its values"),
    ],
)
def test_the_contract_tells_what_is_wrong(wrong, test, message):
    contract = AugmentationContract()
    contract.spec = "wrong"
    failures = (AssertionError, pytest.fail.Exception)
    with augmentations.adding(wrong=wrong), pytest.raises(failures, match=message):
        getattr(contract, test)(wrong())


def test_no_augmentation_copies_nothing():
    volume = torch.randn(2, 1, 3, 4, 5)
    mask = torch.ones(2, 3, dtype=torch.bool)
    augmentation = augmentations.build("none", Augmentation)
    assert augmentation(volume, mask, CaseGenerator([0, 1])) is volume

"""Contract of an augmentation: subclass ``AugmentationContract`` and set ``spec``.

from volbench.testing.augmentations import AugmentationContract

class TestGamma(AugmentationContract):
    spec = "gamma(low=0.8, high=1.2)"
"""

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from volbench.interfaces import Augmentation
from volbench.randomness import CaseGenerator
from volbench.registry import augmentations
from volbench.testing.values import check_asks_for_no_values


class AugmentationContract:
    """What every augmentation must do.

    Attributes:
        spec: The augmentation under test.
        channels: Channels of the volumes it is tried on.
        size: Height and width of the volumes.
    """

    spec: str
    channels: int = 2
    size: tuple[int, int] = (20, 24)

    seeds = (11, 12, 13)

    @pytest.fixture
    def augmentation(self) -> Augmentation:
        """The augmentation of ``spec``."""
        return augmentations.build(self.spec, Augmentation)

    def mask(self) -> Tensor:
        """Three cases of four, two and one real slices, padded to four."""
        return torch.tensor([[True] * 4, [True, True, False, False], [True, False, False, False]])

    def volume(self) -> Tensor:
        """Draw raw intensities about 100 with padding of zeros."""
        generator = torch.Generator().manual_seed(1)
        drawn = torch.randn(3, self.channels, 4, *self.size, generator=generator)
        return (100 + 30 * drawn) * self.mask()[:, None, :, None, None]

    def test_keeps_shape_and_type(self, augmentation: Augmentation) -> None:
        """Whatever comes after is built for it."""
        for dtype in (torch.float32, torch.float64, torch.bfloat16):
            volume = self.volume().to(dtype)
            changed = augmentation(volume, self.mask(), CaseGenerator(self.seeds))
            expected = augmentation.still(volume)
            assert (changed.shape, changed.dtype) == (expected.shape, dtype), _says(
                self.spec,
                f"turned {tuple(volume.shape)} {dtype} into {tuple(changed.shape)} "
                f"{changed.dtype}, but still() into {tuple(expected.shape)}; make them agree",
            )
            assert changed.shape[:3] == volume.shape[:3], _says(
                self.spec, "changed the number of cases, channels or slices"
            )
            assert changed.isfinite().all(), _says(self.spec, "made NaN or infinity")

    def test_still_draws_nothing_and_keeps_padding_zero(self, augmentation: Augmentation) -> None:
        """Evaluation has no generator to draw from."""
        before = torch.get_rng_state()
        first, second = (augmentation.still(self.volume()) for _ in range(2))
        assert torch.equal(first, second), _says(self.spec, "still() is not still")
        assert torch.equal(torch.get_rng_state(), before), _says(self.spec, "still() draws")
        assert not first.movedim(2, 1)[~self.mask()].any(), _says(
            self.spec, "still() fills padding"
        )

    def test_leaves_its_input_alone(self, augmentation: Augmentation) -> None:
        """The input may be the data set itself, resident on the device."""
        volume, mask = self.volume(), self.mask()
        augmentation(volume, mask, CaseGenerator(self.seeds))
        assert torch.equal(volume, self.volume()), _says(self.spec, "changes its input in place")
        assert torch.equal(mask, self.mask()), _says(self.spec, "changes the mask in place")

    def test_padding_stays_exactly_zero(self, augmentation: Augmentation) -> None:
        """An encoder relies on it."""
        for _ in range(3):
            changed = augmentation(self.volume(), self.mask(), CaseGenerator(self.seeds))
            padding = changed.movedim(2, 1)[~self.mask()]
            assert not padding.any(), _says(
                self.spec, f"padding became {padding.abs().max().item():g}; multiply by the mask"
            )

    def test_the_same_seeds_give_the_same_result(self, augmentation: Augmentation) -> None:
        """Only the case's generator is drawn from, never PyTorch's own."""
        results = []
        for seed in (0, 1):
            torch.manual_seed(seed)
            before = torch.get_rng_state()
            results.append(augmentation(self.volume(), self.mask(), CaseGenerator(self.seeds)))
            assert torch.equal(torch.get_rng_state(), before), _says(
                self.spec, "draws from PyTorch's global generator; draw from the one given"
            )
        assert torch.equal(*results), _says(self.spec, "the same seeds give different results")

    def test_a_case_does_not_depend_on_its_batch(self, augmentation: Augmentation) -> None:
        """Alone and unpadded, or anywhere in a padded batch: the same."""
        volume, mask = self.volume(), self.mask()
        order = [2, 0, 1]
        together = augmentation(
            volume[order], mask[order], CaseGenerator([self.seeds[case] for case in order])
        )
        for place, case in enumerate(order):
            slices = int(mask[case].sum())
            alone = augmentation(
                volume[case : case + 1, :, :slices],
                mask[case : case + 1, :slices],
                CaseGenerator(self.seeds[case : case + 1]),
            )
            self.assert_close(
                together[place, :, :slices],
                alone[0],
                "a case changes with its batch; draw and compute for each case on its own",
            )

    def test_successive_calls_go_on_drawing(self, augmentation: Augmentation) -> None:
        """A generator that is used twice must not be one that never moved, if it moved at all."""
        generator, fresh = CaseGenerator(self.seeds), CaseGenerator(self.seeds)
        augmentation(self.volume(), self.mask(), generator)
        moved = not torch.equal(generator.uniform(4), fresh.uniform(4))
        changed = augmentation(self.volume(), self.mask(), CaseGenerator(self.seeds))
        assert moved or torch.equal(changed, augmentation.still(self.volume())), _says(
            self.spec, "changes volumes without drawing from the generator it is given"
        )

    def test_constant_volumes_stay_finite(self, augmentation: Augmentation) -> None:
        """A volume without contrast has a standard deviation of zero."""
        for value in (0.0, 7.0, 0.1, -1000.3):  # the last two are not exact in binary
            volume = torch.full_like(self.volume(), value) * self.mask()[:, None, :, None, None]
            changed = augmentation(volume, self.mask(), CaseGenerator(self.seeds))
            assert changed.isfinite().all(), _says(
                self.spec, f"a volume of {value:g} everywhere gives NaN or infinity"
            )

    def test_bfloat16_autocast_changes_little(self, augmentation: Augmentation) -> None:
        """Positions rounded to bfloat16 would be off by a pixel."""
        full = augmentation(self.volume(), self.mask(), CaseGenerator(self.seeds))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            cast = augmentation(self.volume(), self.mask(), CaseGenerator(self.seeds))
        self.assert_close(cast, full, "autocast changes it; avoid matrix products of positions")

    def test_does_not_synchronise_with_the_host(self, augmentation: Augmentation) -> None:
        """On a GPU, whatever asks for a value waits until everything before is computed."""
        check_asks_for_no_values(
            lambda volume, mask: augmentation(volume, mask, CaseGenerator(self.seeds)),
            self.volume(),
            self.mask(),
            who=f"augmentation {self.spec}",
        )

    def assert_close(self, actual: Tensor, expected: Tensor, problem: str) -> None:
        """Assert equality to float32 rounding of intensities about 100."""
        assert_close(
            actual,
            expected,
            rtol=1e-4,
            atol=1e-2,
            msg=lambda detail: _says(self.spec, f"{problem}\n{detail}"),
        )


def _says(spec: str, problem: str) -> str:
    return f"augmentation {spec}: {problem}"

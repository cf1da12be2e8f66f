"""Contract of an augmentation: subclass ``AugmentationContract`` and set ``spec``.

from volbench.testing import AugmentationContract

class TestGamma(AugmentationContract):
    spec = "gamma(low=0.8, high=1.2)"
"""

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from volbench._utils.case_generator import CaseGenerator
from volbench.interfaces import Augmentation
from volbench.plugins.registry import augmentations
from volbench.testing.component import ComputingContract
from volbench.testing.values import check_asks_for_no_values


class AugmentationContract(ComputingContract):
    """What every augmentation must do.

    Attributes:
        spec: The augmentation under test.
        channels: Channels of the volumes it is tried on.
        size: Height and width of the volumes.

    >>> class TestOurs(AugmentationContract):  # pytest collects its tests
    ...     spec = "flip"
    >>> any(name.startswith("test_") for name in dir(TestOurs))
    True
    """

    registry = augmentations
    context = 0
    channels: int = 2
    size: tuple[int, int] = (20, 24)

    seeds = (11, 12, 13)

    @pytest.fixture
    def augmentation(self) -> Augmentation:
        """The augmentation of ``spec``."""
        return self.build(seed=0)

    def build(self, *, seed: int) -> Augmentation:
        """Build ``spec``; what it draws later comes from the generator of the cases."""
        torch.manual_seed(seed)
        return augmentations.build(self.spec, Augmentation)

    def inputs(self, device: str = "cpu") -> tuple[Tensor, ...]:
        """A padded batch and which slices are real."""
        return self.volume().to(device), self.mask().to(device)

    def compute(self, component: Augmentation, *inputs: Tensor) -> Tensor:
        """Change it, drawing from the streams of the same cases each time."""
        volume, mask = inputs
        return component(volume, mask, CaseGenerator(self.seeds, volume.device))

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
            expected = augmentation.eval_view(volume)
            assert (changed.shape, changed.dtype) == (expected.shape, dtype), self.says(
                f"turned {tuple(volume.shape)} {dtype} into {tuple(changed.shape)} "
                f"{changed.dtype}, but still() into {tuple(expected.shape)}; make them agree",
            )
            assert changed.shape[:3] == volume.shape[:3], self.says(
                "changed the number of cases, channels or slices"
            )
            assert changed.isfinite().all(), self.says(
                "makes NaN or infinity; divide by no standard deviation of 0"
            )

    @pytest.mark.parametrize(
        ("slices", "channels", "size"), [(1, 1, (16, 16)), (40, 1, (16, 18)), (3, 3, (17, 23))]
    )
    def test_takes_volumes_of_any_size(
        self, augmentation: Augmentation, slices: int, channels: int, size: tuple[int, int]
    ) -> None:
        """One slice and many, one channel and several, odd and oblong planes."""
        generator = torch.Generator().manual_seed(2)
        volume = 100 + 30 * torch.randn(2, channels, slices, *size, generator=generator)
        mask = torch.ones(2, slices, dtype=torch.bool)
        changed = augmentation(volume, mask, CaseGenerator(self.seeds[:2]))
        expected = augmentation.eval_view(volume).shape
        assert changed.shape == expected, self.says(
            f"turned {tuple(volume.shape)} into {tuple(changed.shape)}, not {tuple(expected)}; "
            "take sizes from the volume"
        )
        assert changed.isfinite().all(), self.says(f"{tuple(volume.shape)} gives NaN or infinity")

    def test_still_draws_nothing_and_keeps_padding_zero(self, augmentation: Augmentation) -> None:
        """Evaluation has no generator to draw from."""
        before = torch.get_rng_state()
        first, second = (augmentation.eval_view(self.volume()) for _ in range(2))
        assert torch.equal(first, second), self.says(
            "two calls of still() differ; draw nothing in it"
        )
        assert torch.equal(torch.get_rng_state(), before), self.says(
            "still() draws from PyTorch's generator; draw nothing in it"
        )
        assert not first.movedim(2, 1)[~self.mask()].any(), self.says(
            "still() fills padding; multiply by the mask in it"
        )

    def test_leaves_its_input_alone(self, augmentation: Augmentation) -> None:
        """The input may be the data set itself, resident on the device."""
        volume, mask = self.volume(), self.mask()
        augmentation(volume, mask, CaseGenerator(self.seeds))
        assert torch.equal(volume, self.volume()), self.says("changes its input in place")
        assert torch.equal(mask, self.mask()), self.says("changes the mask in place")

    def test_padding_stays_exactly_zero(self, augmentation: Augmentation) -> None:
        """An encoder relies on it."""
        for _ in range(3):
            changed = augmentation(self.volume(), self.mask(), CaseGenerator(self.seeds))
            padding = changed.movedim(2, 1)[~self.mask()]
            assert not padding.any(), self.says(
                f"padding became {padding.abs().max().item():g}; multiply by the mask"
            )

    def test_the_same_seeds_give_the_same_result(self, augmentation: Augmentation) -> None:
        """Only the case's generator is drawn from, never PyTorch's own."""
        results = []
        for seed in (0, 1):
            torch.manual_seed(seed)
            before = torch.get_rng_state()
            results.append(augmentation(self.volume(), self.mask(), CaseGenerator(self.seeds)))
            assert torch.equal(torch.get_rng_state(), before), self.says(
                "draws from PyTorch's global generator; draw from the one given"
            )
        assert torch.equal(*results), self.says("the same seeds give different results")

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
        moved |= bool((generator.choices(4) != fresh.choices(4)).any())
        changed = augmentation(self.volume(), self.mask(), CaseGenerator(self.seeds))
        assert moved or torch.equal(changed, augmentation.eval_view(self.volume())), self.says(
            "changes volumes without drawing from the generator it is given"
        )

    def test_constant_volumes_stay_finite(self, augmentation: Augmentation) -> None:
        """A volume without contrast has a standard deviation of zero."""
        for value in (0.0, 7.0, 0.1, -1000.3):  # the last two are not exact in binary
            volume = torch.full_like(self.volume(), value) * self.mask()[:, None, :, None, None]
            changed = augmentation(volume, self.mask(), CaseGenerator(self.seeds))
            assert changed.isfinite().all(), self.says(
                f"a volume of {value:g} everywhere gives NaN or infinity"
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
            self.number(actual),
            self.number(expected),
            rtol=1e-4,
            atol=1e-2,
            msg=lambda detail: self.says(f"{problem}\n{detail}"),
        )

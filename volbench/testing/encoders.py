"""Contract of an encoder: subclass ``EncoderContract`` and set ``spec``.

from volbench.testing import EncoderContract

class TestTiny(EncoderContract):
    spec = "tiny(width=4)"
"""

import pytest
import torch
from jaxtyping import Float
from safetensors.torch import load, save
from torch import Tensor, nn

from volbench.interfaces import Encoder
from volbench.plugins.registry import encoders
from volbench.testing.component import ComputingContract
from volbench.types import SliceMask, Volume

DROPOUT = nn.Dropout | nn.Dropout1d | nn.Dropout2d | nn.Dropout3d


class EncoderContract(ComputingContract):
    """What every encoder must do.

    Attributes:
        spec: The encoder under test, as on the command line.
        planes: In-plane sizes to try; name the only one where an encoder takes no other.

    >>> class TestOurs(EncoderContract):  # pytest collects its tests
    ...     spec = "r2d(width=2)"
    >>> any(name.startswith("test_") for name in dir(TestOurs))
    True
    """

    registry = encoders
    planes: tuple[tuple[int, int], ...] = ((32, 32), (17, 23))

    def build(self, *, in_channels: int = 1, seed: int = 0) -> Encoder:
        """Build the encoder; dropout is off, as it draws anew for every shape."""
        torch.manual_seed(seed)
        encoder = encoders.build(self.spec, Encoder, in_channels)
        for module in encoder.modules():
            if isinstance(module, DROPOUT):
                module.p = 0.0
        return encoder

    def inputs(self, device: str = "cpu") -> tuple[Tensor, ...]:
        """Two volumes of three and of five slices, padded to five."""
        return self.volume(3, 5).to(device), _mask(3, 5, slices=5).to(device)

    def compute(self, component: Encoder, *inputs: Tensor) -> Tensor:
        """Tokens, in evaluation; of padding none."""
        volume, mask = inputs
        tokens: Tensor = component.eval()(volume, mask.cpu() if component.mask_on_host else mask)
        real = _mask(_tokens(3, component), _tokens(5, component), slices=tokens.shape[1])
        return tokens.masked_fill(~real[..., None].to(tokens.device), 0)

    def volume(self, *lengths: int, in_channels: int = 1, plane: int = 0) -> Volume:
        """Draw volumes of ``lengths`` slices; beyond its end each is zero."""
        generator = torch.Generator().manual_seed(sum(lengths))
        size = (in_channels, max(lengths), *self.planes[plane])
        volume = torch.randn(len(lengths), *size, generator=generator)
        for number, length in enumerate(lengths):
            volume[number, :, length:] = 0
        return volume

    def test_it_says_the_length_of_its_token(self) -> None:
        """One token per ``slice_stride`` slices, each of ``num_features``."""
        encoder = self.build()
        assert isinstance(encoder.num_features, int), self.says(
            f"its num_features is {encoder.num_features!r}; make it a whole number"
        )
        assert encoder.slice_stride >= 1, self.says(
            f"its slice_stride is {encoder.slice_stride!r}; it counts slices per token, from 1"
        )
        self.check_tokens(encoder, encoder(self.volume(5, 5)), 2, 5)

    @pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
    def test_it_takes_every_plane(self, training: bool) -> None:
        """Odd and oblong planes too, in training and in evaluation."""
        encoder = self.build().train(training)
        for plane in range(len(self.planes)):
            self.check_tokens(encoder, encoder(self.volume(4, 4, plane=plane)), 2, 4)

    @pytest.mark.parametrize("slices", [1, 33])
    def test_it_takes_one_slice_and_many(self, slices: int) -> None:
        """A volume may have a single slice, or dozens."""
        encoder = self.build().eval()
        with torch.no_grad():
            self.check_tokens(encoder, encoder(self.volume(slices)), 1, slices)

    def test_every_channel_counts(self) -> None:
        """Volumes may have several channels, and none of them is ignored."""
        encoder = self.build(in_channels=3).eval()
        volume = self.volume(3, in_channels=3).requires_grad_()
        encoder(volume).square().sum().backward()
        assert volume.grad is not None, self.says("no gradient comes back; do not detach")
        reached = volume.grad.abs().sum(dim=(0, 2, 3, 4)).gt(0)
        assert reached.all(), self.says(
            f"of three channels it looks at {int(reached.sum())}; build it for in_channels"
        )

    def test_no_mask_is_a_mask_of_real_slices(self) -> None:
        """Both ways to say that nothing is padded agree."""
        encoder = self.build().eval()
        volume = self.volume(4, 4)
        self.check_same(
            encoder(volume, _mask(4, 4, slices=4)),
            encoder(volume),
            "mask=None must mean that every slice is real",
        )

    @pytest.mark.parametrize(("slices", "junk"), [(4, 0.0), (7, 1e3)])
    def test_padding_does_not_change_a_token(self, slices: int, junk: float) -> None:
        """In evaluation, whatever the padding holds and however long it is."""
        encoder = self.build().eval()
        alone, mask = self.volume(3), _mask(3, slices=slices)
        expected = encoder(alone)
        self.check_same(
            encoder(_pad(alone, mask, junk), mask)[:, : expected.shape[1]],
            expected,
            f"{slices - 3} padded slices of {junk:g} change a token; set them to 0 before every "
            "layer that looks across slices",
        )

    def test_padding_does_not_change_training(self) -> None:
        """Tokens, gradients and running statistics do not depend on the padding."""
        results = []
        for slices, junk in ((4, 0.0), (7, 1e3)):
            encoder = self.build().train()
            mask = _mask(2, 4, slices=slices)
            tokens = encoder(_pad(self.volume(2, 4), mask, junk), mask)
            short = tokens[0, : _tokens(2, encoder)], tokens[1, : _tokens(4, encoder)]
            sum((t * torch.linspace(-1, 1, t.numel()).view_as(t)).sum() for t in short).backward()
            results.append((short, _gradients(encoder), dict(encoder.named_buffers())))
        for first, second in zip(*results, strict=True):
            torch.testing.assert_close(
                second,
                first,
                rtol=1e-3,
                atol=1e-4,
                msg=lambda detail: self.says(
                    "padding changes training; keep padded slices out of BatchNorm statistics, as "
                    f"by packing the real ones along the batch\n{detail}"
                ),
            )

    def test_batch_mates_do_not_change_a_token(self) -> None:
        """In evaluation, a case is encoded as if it were alone."""
        encoder = self.build().eval()
        volume, mask = self.volume(3, 5, 1), _mask(3, 5, 1, slices=5)
        together = encoder(volume, mask)
        for case, length in enumerate((3, 5, 1)):
            alone = encoder(volume[case : case + 1, :, :length])
            self.check_same(
                together[[case], : alone.shape[1]],
                alone,
                "a case changes with its batch; let no layer mix cases in evaluation",
            )

    def test_gradients_reach_every_trained_parameter(self) -> None:
        """Nothing is trained in name only; parameters are moved off zeros they may start from."""
        encoder = self.build().train()
        with torch.no_grad():
            for parameter in encoder.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.05)
        tokens = encoder(self.volume(3, 5), _mask(3, 5, slices=5))
        (tokens * torch.randn_like(tokens)).sum().backward()
        for name, parameter in encoder.named_parameters():
            if parameter.requires_grad:
                idle = f"its parameter {name} gets no gradient; use it, or do not train it"
                assert parameter.grad is not None, self.says(idle)
                assert parameter.grad.any(), self.says(idle)
                assert parameter.grad.isfinite().all(), self.says(
                    f"the gradient of {name} holds NaN or infinity"
                )

    def test_constant_volumes_give_finite_tokens_and_gradients(self) -> None:
        """A crop of air has no contrast to divide by."""
        encoder = self.build().train()
        volume = torch.zeros_like(self.volume(3, 5))
        volume[1] = 7
        tokens = encoder(volume, _mask(3, 5, slices=5))
        tokens.square().sum().backward()
        finite = all(gradient.isfinite().all() for gradient in _gradients(encoder).values())
        assert tokens.isfinite().all() and finite, self.says(  # noqa: PT018
            "volumes of one value everywhere give NaN or infinity; add an epsilon to what divides"
        )

    def test_bfloat16_autocast_changes_little(self) -> None:
        """Mixed precision costs rounding, not the result."""
        encoder = self.build().eval()
        volume, mask = self.inputs()
        full = self.use(encoder)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            cast = self.compute(encoder, volume, mask)
            cast.square().sum().backward()
        difference = (cast.detach().float() - full).norm() / full.norm().clamp(min=1e-3)
        assert difference < 0.1, self.says(
            f"autocast changes tokens by {difference:.2g} of their length; keep sums and "
            "normalisation in float32"
        )
        finite = all(gradient.isfinite().all() for gradient in _gradients(encoder).values())
        assert finite, self.says("under autocast a gradient holds NaN or infinity")

    def test_its_state_survives_a_round_trip(self) -> None:
        """Saved and loaded as safetensors, it computes the same to the last bit."""
        encoder = self.build()
        encoder.train()(self.volume(4, 4))  # running statistics are state too
        other = self.build(seed=1)
        other.load_state_dict(load(save(encoder.state_dict())))
        volume = self.volume(3)
        assert torch.equal(other.eval()(volume), encoder.eval()(volume)), self.says(
            "a loaded copy differs; register parameters and buffers"
        )

    def test_the_seed_decides_everything(self) -> None:
        """Built and run twice from one seed: the same tokens and gradients, to the last bit."""
        results = []
        for _ in range(2):
            encoder = self.build(seed=3).train()
            tokens = encoder(self.volume(2, 4), _mask(2, 4, slices=4))
            tokens.square().sum().backward()
            results.append((tokens, *_gradients(encoder).values()))
        same = all(torch.equal(first, second) for first, second in zip(*results, strict=True))
        assert same, self.says("one seed gives two results; draw from PyTorch's generator only")

    def check_tokens(self, encoder: Encoder, tokens: Tensor, batch: int, slices: int) -> None:
        """Assert the shape of tokens, and that they are finite."""
        expected = (batch, _tokens(slices, encoder), encoder.num_features)
        assert tokens.shape == expected, self.says(
            f"{slices} slices give tokens of {tuple(tokens.shape)}, not {expected}; correct "
            "num_features or slice_stride"
        )
        assert tokens.isfinite().all(), self.says(
            f"{slices} slices give {'NaN' if tokens.isnan().any() else 'infinity'}"
        )

    def check_same(self, actual: Tensor, expected: Tensor, problem: str) -> None:
        """Assert equality to float32 rounding; NaN is called NaN."""
        torch.testing.assert_close(
            self.number(actual),
            self.number(expected),
            rtol=1e-4,
            atol=1e-5,
            msg=lambda detail: self.says(f"{problem}\n{detail}"),
        )


def _tokens(slices: int, encoder: Encoder) -> int:
    return -(-slices // encoder.slice_stride)


def _mask(*lengths: int, slices: int) -> SliceMask:
    return torch.arange(slices) < torch.tensor(lengths)[:, None]


def _pad(
    volume: Float[Tensor, "batch channel real height width"], mask: SliceMask, junk: float
) -> Volume:
    """Lengthen to the mask's slices; what is not real becomes ``junk``."""
    batch, channels, slices, height, width = volume.shape
    padded = volume.new_zeros(batch, channels, mask.shape[1], height, width)
    padded[:, :, :slices] = volume
    return padded.masked_fill(~mask[:, None, :, None, None], junk)


def _gradients(encoder: Encoder) -> dict[str, Tensor]:
    trained = encoder.named_parameters()
    return {name: p.grad for name, p in trained if p.grad is not None}

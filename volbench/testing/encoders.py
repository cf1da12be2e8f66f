"""The contract of an encoder as a test suite: subclass it, set ``spec``, run pytest."""

import torch
from jaxtyping import Float
from safetensors.torch import load, save
from torch import Tensor, nn

from volbench.interfaces import Encoder
from volbench.registry import encoders
from volbench.types import SliceMask, Tokens, Volume


class EncoderContract:
    """What every encoder promises.

    Attributes:
        spec: The encoder under test, as on the command line.
        planes: In-plane sizes to try; name the only one where an encoder takes no other.
    """

    spec: str
    planes: tuple[tuple[int, int], ...] = ((32, 32), (17, 23))

    def build(self, *, in_channels: int = 1, seed: int = 0) -> Encoder:
        """Build the encoder; dropout is off, as it draws anew for every shape."""
        torch.manual_seed(seed)
        encoder = encoders.build(self.spec, Encoder, in_channels)
        for module in encoder.modules():
            if isinstance(module, nn.Dropout | nn.Dropout1d | nn.Dropout2d | nn.Dropout3d):
                module.p = 0.0
        return encoder

    def volume(self, *lengths: int, in_channels: int = 1, plane: int = 0) -> Volume:
        """Draw volumes of ``lengths`` slices; beyond its end each is zero."""
        generator = torch.Generator().manual_seed(sum(lengths))
        size = (in_channels, max(lengths), *self.planes[plane])
        volume = torch.randn(len(lengths), *size, generator=generator)
        for number, length in enumerate(lengths):
            volume[number, :, length:] = 0
        return volume

    def test_it_is_an_encoder_and_says_the_length_of_its_token(self) -> None:
        """One token per ``slice_stride`` slices, each of ``num_features``."""
        encoder = self.build()
        assert isinstance(encoder.num_features, int)
        assert encoder.slice_stride >= 1
        tokens = encoder(self.volume(5, 5))
        assert tokens.shape == (2, _tokens(5, encoder), encoder.num_features)
        assert tokens.isfinite().all()

    def test_it_takes_every_plane(self) -> None:
        """Odd and oblong planes too, in training and in evaluation."""
        for training in (True, False):
            encoder = self.build().train(training)
            for plane in range(len(self.planes)):
                tokens = encoder(self.volume(4, 4, plane=plane))
                assert tokens.shape == (2, _tokens(4, encoder), encoder.num_features)

    def test_it_takes_one_slice(self) -> None:
        """A volume may have a single slice."""
        encoder = self.build().eval()
        tokens = encoder(self.volume(1))
        assert tokens.shape == (1, 1, encoder.num_features)
        assert tokens.isfinite().all()

    def test_every_channel_counts(self) -> None:
        """Volumes may have several channels, and none of them is ignored."""
        encoder = self.build(in_channels=3).eval()
        volume = self.volume(3, in_channels=3).requires_grad_()
        encoder(volume).square().sum().backward()
        gradient = _gradient(volume)
        assert gradient.abs().sum(dim=(0, 2, 3, 4)).gt(0).all()

    def test_no_mask_is_a_mask_of_real_slices(self) -> None:
        """Both ways to say that nothing is padded agree."""
        encoder = self.build().eval()
        volume = self.volume(4, 4)
        torch.testing.assert_close(encoder(volume), encoder(volume, _mask(4, 4, slices=4)))

    def test_padding_does_not_change_a_token(self) -> None:
        """In evaluation, whatever the padding holds and however long it is."""
        encoder = self.build().eval()
        alone = self.volume(3)
        for slices, junk in ((4, 0.0), (7, 1e3)):
            padded = _pad(alone, _mask(3, slices=slices), junk)
            tokens = encoder(padded, _mask(3, slices=slices))
            _assert_same_tokens(encoder(alone), tokens)

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
            torch.testing.assert_close(second, first, rtol=1e-3, atol=1e-4)

    def test_batch_mates_do_not_change_a_token(self) -> None:
        """In evaluation, a case is encoded as if it were alone."""
        encoder = self.build().eval()
        volume, mask = self.volume(3, 5, 1), _mask(3, 5, 1, slices=5)
        together = encoder(volume, mask)
        for case, length in enumerate((3, 5, 1)):
            _assert_same_tokens(encoder(volume[case : case + 1, :, :length]), together[[case]])

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
                assert parameter.grad is not None, f"no gradient reaches {name}"
                assert parameter.grad.isfinite().all(), f"the gradient of {name} is not finite"
                assert parameter.grad.any(), f"the gradient of {name} is all zero"

    def test_its_state_survives_a_round_trip(self) -> None:
        """Saved and loaded as safetensors, it computes the same to the last bit."""
        encoder = self.build()
        encoder.train()(self.volume(4, 4))  # running statistics are state too
        other = self.build(seed=1)
        other.load_state_dict(load(save(encoder.state_dict())))
        volume = self.volume(3)
        assert torch.equal(other.eval()(volume), encoder.eval()(volume))

    def test_the_seed_decides_everything(self) -> None:
        """Built and run twice from one seed: the same tokens and gradients, to the last bit."""
        results = []
        for _ in range(2):
            encoder = self.build(seed=3).train()
            tokens = encoder(self.volume(2, 4), _mask(2, 4, slices=4))
            tokens.square().sum().backward()
            results.append((tokens, *_gradients(encoder).values()))
        assert all(torch.equal(first, second) for first, second in zip(*results, strict=True))


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


def _assert_same_tokens(alone: Tokens, padded: Float[Tensor, "batch padded feature"]) -> None:
    torch.testing.assert_close(padded[:, : alone.shape[1]], alone, rtol=1e-4, atol=1e-5)


def _gradient(tensor: Tensor) -> Tensor:
    assert tensor.grad is not None
    return tensor.grad


def _gradients(encoder: Encoder) -> dict[str, Tensor]:
    trained = encoder.named_parameters()
    return {name: p.grad for name, p in trained if p.grad is not None}

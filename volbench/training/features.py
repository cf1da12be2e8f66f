"""Tokens of a frozen encoder: whether a run may store them, and how they are computed."""

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float32
from torch import Tensor

from volbench._utils.cpu import available_cores
from volbench.data.cache.packed_voxels import Prepared
from volbench.encoders.freezing import is_frozen
from volbench.experiment.recipe import Recipe
from volbench.interfaces import Encoder
from volbench.spec import Spec
from volbench.training.classifier import Classifier
from volbench.training.device_and_precision import Compute
from volbench.training.frozen import encode_each
from volbench.training.memory import give_back_to_gpu
from volbench.types import SliceMask, Tokens, Volume


class StoredTokens(Encoder):
    """Stands where an encoder was: its "volumes" are stored tokens, slices of one pixel."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, volume: Volume, mask: SliceMask | None = None) -> Tokens:
        """Return the tokens, laid out as an encoder's: sums over them are then added alike."""
        return rearrange(volume, "b f s 1 1 -> b s f").contiguous()


def on_stored_tokens(network: Classifier) -> Classifier:
    """A network that reads stored tokens; aggregator and head are those of ``network``."""
    with torch.random.fork_rng(devices=[]):
        reader = Classifier(StoredTokens(network.encoder.num_features), network.aggregator, 2)
    reader.head = network.head
    reader.num_features = network.num_features
    reader.conditional = network.conditional
    return reader


def obstacle_to_storing(encoder: Encoder, recipe: Recipe, level: str) -> str | None:
    """Say why a run of a frozen encoder encodes slices anew in every epoch; None if it need not.

    An encoder that is trained is no obstacle worth a word: see ``is_frozen``.
    """
    assert is_frozen(encoder)
    augmentation = recipe.training.augmentation
    if augmentation != "none":
        return (
            f"training.augmentation={augmentation} changes the images in every epoch; "
            "--set training.augmentation=none trains on stored tokens"
        )
    mixup = recipe.regularization
    if mixup.mixup and mixup.mixup_on == "volume":
        return (
            "regularization.mixup_on=volume mixes images; "
            "--set regularization.mixup_on=token mixes stored tokens"
        )
    if encoder.slice_stride != 1:
        return f"it leaves one token per {encoder.slice_stride} slices, and one each is stored"
    return None


def is_drawn_at_random(build: Callable[[], Encoder]) -> bool:
    """Whether a seed decides an encoder's weights, so that each fold has another."""
    digests = set()
    for seed in (1, 2):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            digests.add(weights_digest(build()))
    return len(digests) > 1


def weights_digest(encoder: Encoder) -> str:
    """SHA-256 of all that an encoder holds."""
    digest = hashlib.sha256()
    for name, tensor in sorted(encoder.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def feature_identity(
    prepared: Prepared, spec: Spec, encoder: Encoder, compute: Compute
) -> dict[str, Any]:
    """What tokens depend on: encoder, weights, prepared data, and how they are computed."""
    return {
        "encoder": str(spec),
        "weights": weights_digest(encoder),
        "data": prepared.digest,
        "cases": len(prepared.cases),
        "preprocessing": prepared.preprocessing.digest,
        "precision": compute.precision,
        "device": torch.device(compute.device).type,
        "versions": {"torch": torch.__version__, "timm": version("timm")},
    }


def compute_tokens(
    encoder: Encoder, prepared: Prepared, compute: Compute
) -> Iterator[Float32[np.ndarray, "_ feature"]]:
    """Encode every case, in order; on a CPU on as many cores as there are, a case to each.

    A case is encoded as ``encode_each`` does in training: alone and by one thread.
    """
    device = compute.enter()
    encoder = encoder.to(device).eval()
    if device.type != "cpu":
        try:
            yield from (_encode(encoder, prepared, compute, case) for case in _all(prepared))
        finally:  # the folds that are trained on them need the room, in other processes
            encoder.to("cpu")
            give_back_to_gpu(device)
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(available_cores()) as pool:
            yield from pool.map(
                lambda case: _encode(encoder, prepared, compute, case), _all(prepared)
            )
    finally:
        torch.set_num_threads(threads)


def _all(prepared: Prepared) -> range:
    return range(len(prepared.cases))


@torch.inference_mode()
def _encode(
    encoder: Encoder, prepared: Prepared, compute: Compute, case: int
) -> Float32[np.ndarray, "_ feature"]:
    voxels = torch.from_numpy(np.array(prepared.volume(case), np.float32))
    volume = rearrange(voxels, "s c h w -> 1 c s h w").contiguous().to(compute.device)
    with compute.autocast():
        tokens: Tensor = encode_each(encoder, volume, None)
    return tokens[0].float().cpu().numpy()

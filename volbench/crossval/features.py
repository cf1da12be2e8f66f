"""Stores the tokens of a frozen encoder before a run's folds start, or finds them stored."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from volbench._utils.cache_location import cache_root
from volbench.data.cache.features import (
    StoredFeatures,
    feature_key,
    open_features,
    write_features,
)
from volbench.data.cache.packed_voxels import Prepared
from volbench.encoders.building import build_encoder, locate_weights, pin_weights
from volbench.encoders.freezing import is_frozen
from volbench.errors import SpecError, StateError
from volbench.executors.lease import acquire_when_free
from volbench.experiment.experiment import Experiment
from volbench.interfaces import Encoder
from volbench.runs.attempts import ATTEMPTS
from volbench.spec import Spec, parse
from volbench.training.device_and_precision import Compute
from volbench.training.features import (
    compute_tokens,
    feature_identity,
    is_drawn_at_random,
    obstacle_to_storing,
)

OnCase = Callable[[int, int], None]


def store_for_run(
    experiment: Experiment,
    prepared: Prepared,
    compute: Compute,
    *,
    on_case: OnCase | None = None,
) -> tuple[StoredFeatures | None, str | None]:
    """Store the tokens that a run trains on, if its encoder is frozen.

    Returns:
        The tokens, None where a run has to encode images itself; and then the reason, in a line,
        unless the encoder is trained anyhow.
    """
    spec = locate_weights(experiment.encoder, experiment.weights)
    channels = len(prepared.channels)
    encoder = build_encoder(spec, channels)
    if not is_frozen(encoder):
        return None, None
    reason = obstacle_to_storing(encoder, experiment.recipe, experiment.level)
    if reason is None and is_drawn_at_random(lambda: build_encoder(spec, channels)):
        reason = "its weights are drawn at random, anew in each fold; give weights="
    if reason is not None:
        return None, f"the encoder is frozen, but each epoch encodes every slice anew: {reason}"
    return _stored(experiment.encoder, encoder, prepared, compute, on_case), None


def store_features(
    encoder: str,
    prepared: Prepared,
    compute: Compute,
    *,
    root: Path | None = None,
    on_case: OnCase | None = None,
) -> StoredFeatures:
    """Store the tokens of an encoder, whether or not its spec says that it is frozen.

    Args:
        encoder: Its spec.
        prepared: The data.
        compute: How to compute.
        root: Folder of all caches; see `cache_root`.
        on_case: Called with the number of cases done and their total.

    Raises:
        SpecError: its weights are drawn at random, or it leaves fewer tokens than slices.
    """
    spec, built = frozen_encoder(encoder, prepared)
    pinned, _ = pin_weights(spec)
    return _stored(pinned, built, prepared, compute, on_case, root)


def frozen_encoder(encoder: str, prepared: Prepared) -> tuple[Spec, Encoder]:
    """Build an encoder whose tokens can be stored; its spec says that it is frozen.

    Raises:
        SpecError: its weights are drawn at random, or it leaves fewer tokens than slices.
    """
    spec = parse(encoder)
    if spec.kwargs.get("freeze") is not True:
        others = tuple(one for one in spec.arguments if one[0] != "freeze")
        spec = Spec(spec.name, tuple(sorted((*others, ("freeze", True)))))
    channels = len(prepared.channels)
    if is_drawn_at_random(lambda: build_encoder(spec, channels)):
        raise SpecError(f"encoder {encoder}: its weights are drawn at random; give weights=")
    built = build_encoder(spec, channels)
    if built.slice_stride != 1:
        raise SpecError(
            f"encoder {encoder} leaves one token per {built.slice_stride} slices; one per slice is "
            "stored"
        )
    return spec, built


def _stored(
    spec: Spec,
    encoder: Encoder,
    prepared: Prepared,
    compute: Compute,
    on_case: OnCase | None,
    root: Path | None = None,
) -> StoredFeatures:
    identity = feature_identity(prepared, spec, encoder, compute)
    features = (root or cache_root()) / "features"
    folder = features / feature_key(identity)
    with suppress(StateError):  # missing, cut off or damaged: made again
        return open_features(folder, prepared)
    # Runs on many machines come here at the same moment: one computes, the others wait for it.
    lease = acquire_when_free(features / ATTEMPTS / folder.name)
    outcome = "interrupted"
    try:
        with lease.renewing():
            with suppress(StateError):
                return open_features(folder, prepared)
            _compute(folder, identity, encoder, prepared, compute, on_case)
        outcome = "stored"
    finally:
        lease.release(outcome)
    return open_features(folder, prepared)


def _compute(
    folder: Path,
    identity: Mapping[str, Any],
    encoder: Encoder,
    prepared: Prepared,
    compute: Compute,
    on_case: OnCase | None,
) -> None:
    began = time.perf_counter()

    def counted() -> Iterator[Float32[np.ndarray, "_ feature"]]:
        for done, tokens in enumerate(compute_tokens(encoder, prepared, compute), start=1):
            if on_case:
                on_case(done, len(prepared.cases))
            yield tokens

    elapsed = (time.perf_counter() - began for _ in range(1))
    write_features(folder, identity, counted(), seconds=elapsed)

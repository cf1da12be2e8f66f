"""Weights of timm backbones, from a file or a folder saved by timm."""

import json
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from timm.models import adapt_input_conv
from torch import Tensor, nn

from volbench.encoders.weights import load_weights, read_weights, strip_prefix
from volbench.errors import SpecError

LOCAL_DIR = "local-dir:"
FILES = ("model.safetensors", "pytorch_model.bin")


def load_timm_weights(backbone: nn.Module, weights: str, *, name: str, first: object) -> None:
    """Load a file into a backbone.

    Formats that timm itself converts are converted by it: position embeddings are interpolated to
    the size that the backbone was built for, and names of original releases become timm's.

    Args:
        backbone: What is filled.
        weights: See ``read_weights``.
        name: Of the model, for messages.
        first: Name of the first convolution, whose channels are adapted.

    Raises:
        SpecError: the file cannot be read or does not fit.
    """
    own = backbone.state_dict()
    state = strip_prefix(read_weights(weights), tuple(own))
    convert: Callable[..., Any] | None = getattr(
        sys.modules[type(backbone).__module__], "checkpoint_filter_fn", None
    )
    if convert is not None:
        # Whatever it raises on another family's file: what does not fit is named below.
        with suppress(Exception):
            state = convert(dict(state), backbone)
    for conv in [first] if isinstance(first, str) else []:
        state = _with_channels(state, own, f"{conv}.weight")
    load_weights(backbone, state, source=weights, owner=f"timm model {name!r}")


def _with_channels(
    state: Mapping[str, Tensor], own: Mapping[str, Tensor], key: str
) -> dict[str, Tensor]:
    """Sum or repeat the colours of the first convolution where the backbone has other channels."""
    adapted = dict(state)
    there, wanted = state.get(key), own.get(key)
    if there is None or wanted is None or there.ndim != 4:
        return adapted
    if there.shape[1] == 3 != wanted.shape[1] and there.shape[2:] == wanted.shape[2:]:
        adapted[key] = adapt_input_conv(wanted.shape[1], there)
    return adapted


def read_local_dir(folder: Path) -> tuple[str, Mapping[str, Any], str]:
    """Read what a folder says of its model.

    Returns:
        The architecture, what it was trained with (mean, std, ...) and the file of its weights.

    Raises:
        SpecError: ``config.json`` or the weights are missing or cannot be read.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        architecture = str(config["architecture"])
    except OSError as error:
        raise SpecError(f"{LOCAL_DIR}{folder}: config.json: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise SpecError(
            f"{LOCAL_DIR}{folder}: config.json names no architecture; save it by timm"
        ) from None
    found = [folder / name for name in FILES if (folder / name).is_file()]
    if not found:
        raise SpecError(f"{LOCAL_DIR}{folder} holds neither {' nor '.join(FILES)}")
    return architecture, config.get("pretrained_cfg", {}), str(found[0])

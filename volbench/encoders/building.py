"""Builds an encoder with what every encoder takes beside its own options.

    weights=FILE       start from a file's tensors (safetensors, or a state dict without pickle)
    inflate=3          repeat 2D kernels along the slices of 3D ones
    freeze=True        train none of it; "stem" or "stem+2" the first stages only
    adapt=lora(rank=8) train a low-rank change of its linear layers only, or its convolutions

An encoder whose own signature has one of these names is given it and does it itself.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_type_hints

from volbench.encoders.freezing import freeze_encoder
from volbench.encoders.inflation import Inflation, inflate_weights
from volbench.encoders.lora import add_lora
from volbench.encoders.weights import file_digest, is_pinned, load_weights, read_weights
from volbench.errors import SpecError
from volbench.interfaces import Encoder
from volbench.plugins.registry import encoders, require_features
from volbench.plugins.signatures import describe_type, fits
from volbench.spec import Spec, parse


@dataclass(frozen=True)
class SharedOptions:
    """What every encoder takes, as a spec gives it."""

    weights: str | None = None
    inflate: Literal[3, "center", "mean"] | None = None
    freeze: bool | str = False
    adapt: Spec | None = None


def build_encoder(spec: Spec | str, in_channels: int) -> Encoder:
    """Build the encoder that a spec names, with its weights, frozen and adapted as the spec says.

    Raises:
        SpecError: an option does not fit, or weights cannot be read or do not fit.
        UnknownComponentError: no such encoder.
        PluginError: it cannot be imported or built.
    """
    spec = parse(spec) if isinstance(spec, str) else spec
    own = encoders.signature(spec.name).parameters if spec.name in encoders else {}
    shared = {
        key: value
        for key, value in spec.arguments
        if key in SharedOptions.__dataclass_fields__ and key not in own
    }
    options = _checked(spec, shared)
    plain = replace(spec, arguments=tuple(one for one in spec.arguments if one[0] not in shared))
    encoder: Encoder = encoders.build(plain, Encoder, in_channels)
    require_features(encoder, encoders, spec)
    try:
        _load(encoder, options, spec)
        _adapt(encoder, options)
    except SpecError as error:
        raise SpecError(f"encoder {spec}: {error}") from None
    encoder.train()
    return encoder


def _checked(spec: Spec, given: dict[str, Any]) -> SharedOptions:
    for name, annotation in get_type_hints(SharedOptions).items():
        if name in given and not fits(given[name], annotation):
            raise SpecError(
                f"encoder {spec}: {name} must be {describe_type(annotation)}, "
                f"but got {name}={given[name]!r}"
            )
    return SharedOptions(**given)


def _load(encoder: Encoder, options: SharedOptions, spec: Spec) -> None:
    if options.weights is None:
        if options.inflate is not None:
            raise SpecError("inflate= says how weights= are used; give weights= too")
        return
    if is_pinned(options.weights):
        return
    state = encoder.convert_weights(read_weights(options.weights))
    if options.inflate is not None:
        how: Inflation = "center" if options.inflate == 3 else options.inflate
        state = inflate_weights(state, encoder, how)
    load_weights(encoder, state, source=options.weights, owner=spec.name)


def _adapt(encoder: Encoder, options: SharedOptions) -> None:
    if options.adapt is None:
        freeze_encoder(encoder, options.freeze)
        return
    if options.adapt.name != "lora":
        raise SpecError(f"adapt must be lora(...), but got adapt={options.adapt}")
    if isinstance(options.freeze, str):
        raise SpecError("adapt=lora freezes all other weights; leave freeze= out")
    factory: Callable[..., int] = add_lora
    for name, value in options.adapt.arguments:
        wanted = {"rank": int, "alpha": float, "conv": bool}.get(name)
        if wanted is None or not fits(value, wanted):
            raise SpecError(
                f"adapt=lora(rank=8, alpha=16, conv=false), but got adapt={options.adapt}"
            )
    factory(encoder, **options.adapt.kwargs)


def starts_from_weights(spec: Spec) -> bool:
    """Whether an encoder starts from weights: a file's, timm's own or those of a folder.

    >>> starts_from_weights(parse("r2d(weights='w.pth')")), starts_from_weights(parse("r2d"))
    (True, False)
    """
    options = spec.kwargs
    return (
        options.get("weights") is not None
        or options.get("pretrained") is True
        or str(options.get("name", "")).startswith("local-dir:")
    )


def pin_weights(spec: Spec) -> tuple[Spec, str | None]:
    """Name the weights of a spec by their file's name and digest instead of their place.

    The experiment is then the same wherever the file lies, and another one once the file changes.

    Returns:
        The spec, and the path that the weights are at; None where there are none.

    Raises:
        SpecError: the file cannot be read.
    """
    weights = spec.kwargs.get("weights")
    if not isinstance(weights, str):
        return spec, None
    path = Path(weights).expanduser().absolute()
    pinned = f"{path.name}#{file_digest(path)[:16]}"
    return _with_weights(spec, pinned), str(path)


def locate_weights(spec: Spec, path: str | None) -> Spec:
    """Undo ``pin_weights``, but keep the digest, which is compared when the weights are loaded."""
    weights = spec.kwargs.get("weights")
    if path is None or not isinstance(weights, str):
        return spec
    return _with_weights(spec, f"{path}#{weights.rpartition('#')[2]}")


def with_absolute_weights(spec: Spec) -> Spec:
    """Name a file of weights by its whole path, for a process in another folder.

    >>> str(with_absolute_weights(Spec("r2d")))
    'r2d'
    """
    weights = spec.kwargs.get("weights")
    if not isinstance(weights, str):
        return spec
    return _with_weights(spec, str(Path(weights).expanduser().absolute()))


def _with_weights(spec: Spec, weights: str) -> Spec:
    return replace(
        spec,
        arguments=tuple(
            (key, weights if key == "weights" else value) for key, value in spec.arguments
        ),
    )

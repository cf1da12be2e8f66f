"""Preprocessing options as plain values."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal

from volbench._utils.text import did_you_mean
from volbench.errors import DataError, SpecError
from volbench.spec import Spec, parse_sum, parse_value

if TYPE_CHECKING:
    import volbench.interfaces

VERSION = 1
"""Raised whenever the same options give other voxels."""

LATER = {"transforms", "geometry"}
"""Options that came after the first release."""

BELONGING = {
    "margin": ("crop", "roi"),
    "box_mm": ("crop", "box"),
    "n4_shrink": ("n4", True),
    "window": ("normalize", "window"),
}
"""Options that have an effect with one value of another option only."""

OTHER_NAMES = {"data.geometry": "preprocessing.geometry"}
"""Other names of options."""

LARGEST = 4096
"""The largest in-plane size; above it a slice alone fills a GPU."""


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How every volume of a data set is prepared; slices are never resampled.

    Attributes:
        size: Rows and columns of a prepared slice; ``auto`` is the data set's native size or 256.
        crop: What is kept in-plane. ``none``: the whole slice, padded to a square. ``roi``: a
            square around the region of interest plus ``margin``. ``box``: a square of ``box_mm``
            around the region's centre. ``auto``: ``roi`` where every case has a mask and the data
            set has no native size, else ``none``.
        margin: Added on each side of the region, as a part of its longer side (``roi``).
        box_mm: Side of the square (``box``).
        slice_margin: Slices kept before and after the region and the representative slices;
            None keeps all.
        max_slices: At most so many slices are kept, around the middle of the region of interest
            or, without a mask, of the volume; moved as little as representative slices need.
        n4: Correct the bias field of MR intensities.
        n4_shrink: Pixels averaged into one, along rows and columns, to estimate that field.
        normalize: ``zscore``: mean 0, deviation 1. ``window``: ``window`` to [0, 1], clipped.
            ``percentile``: the 0.5th to the 99.5th percentile to [0, 1], clipped. ``byte``: those
            to 0 and 255, clipped, in whole numbers, as an image of 8 bits. ``none``.
            Statistics run per channel over all voxels of the prepared volume.
        window: Lowest and highest value kept (``window``), in HU for CT.
        transforms: TorchIO transforms, as ``CropOrPad(target_shape=(256, 256, 24))``, applied in
            their order to the volume as it was read, before everything above. None of them may be
            random: what is random belongs into ``training.augmentation``.
        geometry: What of NIfTI headers that contradict themselves to believe: ``sform``, ``qform``
            or ``pixdim`` (the spacing alone); ``auto`` refuses such files. Recipes and settings
            also take it as ``data.geometry``.
    """

    size: int | Literal["auto"] = "auto"
    crop: Literal["auto", "none", "roi", "box"] = "auto"
    margin: float = 0.1
    box_mm: float = 50
    slice_margin: int | None = None
    max_slices: int | None = None
    n4: bool = False
    n4_shrink: int = 4
    normalize: Literal["zscore", "window", "percentile", "byte", "none"] = "zscore"
    window: tuple[float, float] = (-1000, 400)
    transforms: tuple[str, ...] = ()
    geometry: Literal["auto", "sform", "qform", "pixdim"] = "auto"

    @property
    def digest(self) -> str:
        """Names what these options do; the same for 0 and 0.0, and whatever is not used."""
        used = self._used() if "auto" not in (self.size, self.crop) else self
        text = json.dumps({"version": VERSION, **used.values()}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def values(self) -> dict[str, Any]:
        """The options as JSON can hold them."""
        values = {
            **asdict(self),
            "margin": float(self.margin),
            "box_mm": float(self.box_mm),
            "window": [float(edge) for edge in self.window],
            "transforms": list(self.transforms),
        }
        return without_later_defaults(values)

    def transform(self) -> Callable[[Any], Any] | None:
        """Build what ``transforms`` say; None if there are none.

        Raises:
            SpecError: one of them is unknown, random, or refuses its values.
        """
        if not self.transforms:
            return None
        from volbench.plugins.torchio_transforms import compose

        return compose(self.transforms)

    def shown(self) -> dict[str, object]:
        """The options that have an effect, for a reader."""
        plain = Preprocessing().values()
        always = ("size", "crop", "normalize")
        return {
            key: value
            for key, value in self.values().items()
            if key in always or value != plain.get(key)
        }

    def resolved(self, dataset: "volbench.interfaces.Dataset") -> "Preprocessing":
        """Put the data set's own values for ``auto``, and the defaults for what is not used.

        Raises:
            SpecError: a value is out of its range.
            DataError: ``crop`` needs a region of interest that some cases lack.
        """
        check_values(asdict(self))
        self.transform()
        size = (dataset.native_size or 256) if self.size == "auto" else self.size
        crop = self.crop
        if crop == "auto":
            crop = "none" if dataset.native_size is not None else _crop_for(dataset)
        return replace(self, size=size, crop=crop)._used()

    def _used(self) -> "Preprocessing":
        """Reset what has no effect, so that it neither splits a cache nor counts as a change."""
        plain = Preprocessing()
        return replace(self, **{key: getattr(plain, key) for key in unused(vars(self))})

    def differences(self, prepared: "Preprocessing") -> dict[str, tuple[object, object]]:
        """Compare with what was prepared: the value wanted and the one there, by key.

        ``auto`` agrees with anything.
        """
        size = prepared.size if self.size == "auto" else self.size
        crop = prepared.crop if self.crop == "auto" else self.crop
        wanted = replace(self, size=size, crop=crop)._used().values()
        there = prepared.values()
        return {
            key: (wanted.get(key), there.get(key))
            for key in {**wanted, **there}
            if wanted.get(key) != there.get(key)
        }


def unused(values: Mapping[str, Any]) -> set[str]:
    """Name the options without an effect, because another one has not the value they belong to.

    >>> sorted(unused({"crop": "roi", "n4": False, "normalize": "zscore"}))
    ['box_mm', 'n4_shrink', 'window']
    >>> unused({"crop": "auto"})  # may be either
    set()
    """
    return {
        key
        for key, (other, value) in BELONGING.items()
        if other in values and values[other] not in (value, "auto")
    }


def without_later_defaults(values: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out options that came later and do nothing, so that nothing is prepared again."""
    return {
        key: value
        for key, value in values.items()
        if key not in LATER or (value and value != "auto")
    }


def _crop_for(dataset: "volbench.interfaces.Dataset") -> Literal["none", "roi"]:
    cases = dataset.cases()
    bare = [case.name for case in cases if not getattr(case.source, "mask", None)]
    if len(bare) == len(cases):
        return "none"
    if bare:
        raise DataError(
            f"{len(bare)} of {len(cases)} cases have no mask (first: {bare[0]!r}), so their region "
            "of interest is unknown; add the masks, or use preprocessing.crop=none"
        )
    return "roi"


def with_settings(options: Preprocessing, settings: Iterable[str]) -> Preprocessing:
    """Change options by texts like ``preprocessing.size=64``; the last of a key counts.

    >>> with_settings(Preprocessing(), ["preprocessing.crop=box", "preprocessing.box_mm=40"]).crop
    'box'

    Raises:
        SpecError: not ``preprocessing.key=value``, an unknown key or a value out of its range.
    """
    found: dict[str, object] = {}
    for text in settings:
        name, equals, value = (part.strip() for part in text.partition("="))
        name = OTHER_NAMES.get(name, name)
        section, _, key = name.rpartition(".")
        if equals and value and section and section != "preprocessing":
            raise SpecError(
                f"cannot read setting {text!r}: nothing is trained here, so only keys of "
                "preprocessing count, as preprocessing.size=64"
            )
        if not equals or section != "preprocessing" or not value:
            raise SpecError(f"cannot read setting {text!r}; write it as preprocessing.size=64")
        is_sum = key == "transforms" and not value.startswith(("(", "["))
        found[key] = value if is_sum else _read(value)
    return from_values({**asdict(options), **found})


def as_settings(options: Preprocessing) -> list[str]:
    """The texts after ``--set`` that lead from the defaults to these options.

    >>> as_settings(Preprocessing(size=64, crop="box", box_mm=40.0, margin=0.3))
    ['preprocessing.size=64', 'preprocessing.crop=box', 'preprocessing.box_mm=40.0']
    """
    plain, values = Preprocessing(), vars(options)
    return [
        f"preprocessing.{key}={_as_text(value)}"
        for key, value in values.items()
        if value != getattr(plain, key) and key not in unused(values)
    ]


def _as_text(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case (str(), *_):
            return " + ".join(map(str, value))
        case _:
            return str(value)


def from_values(values: Mapping[str, object]) -> Preprocessing:
    """Build options from plain values, as a recipe or an index file holds them.

    Raises:
        SpecError: an unknown key, or a value that is no option's.
    """
    known = [field.name for field in fields(Preprocessing)]
    for key in values:
        if key not in known:
            hint = did_you_mean(key, known)
            raise SpecError(f"Unknown key preprocessing.{key}.{hint} Known: {', '.join(known)}.")
    plain = {
        key: tuple(value) if key == "window" and isinstance(value, list) else value
        for key, value in values.items()
    }
    if "transforms" in plain:
        plain["transforms"] = canonical_transforms(plain["transforms"])
    check_values(plain)
    chosen: Any = plain
    return Preprocessing(**chosen)


def canonical_transforms(given: object) -> tuple[str, ...]:
    """Bring transforms to the one text that each of them has; one text may hold several.

    >>> canonical_transforms("ToCanonical + Resample(target=(0.50, 0.5, 3))")
    ('ToCanonical', 'Resample(target=(0.5, 0.5, 3))')

    Raises:
        SpecError: not text, or not the text of transforms.
    """
    texts = (given,) if isinstance(given, str | Spec) else given
    if not isinstance(texts, tuple | list):
        raise SpecError(f"preprocessing.transforms must be a list of texts, but got {given!r}")
    found: list[str] = []
    for text in texts:
        terms = parse_sum(str(text)).terms
        if any(term.weight != 1 for term in terms):
            raise SpecError(f"preprocessing.transforms: {text} has a weight; transforms have none")
        found += [str(term.spec).removeprefix("torchio.") for term in terms]
    return tuple(found)


def _read(text: str) -> object:
    """Read a value; a bare word is a string, and true and false may be written as in TOML."""
    constants = {"true": True, "false": False}
    if text.isidentifier() and text not in ("True", "False", "None"):
        return constants.get(text, text)
    return parse_value(text)


def check_values(values: Mapping[str, object]) -> None:
    """Check each value against what its key allows.

    Raises:
        SpecError: naming the key, what it may be, and the value.
    """
    for key, value in values.items():
        allowed, is_allowed = RULES[key]
        if not is_allowed(value):
            raise SpecError(f"preprocessing.{key} must be {allowed}, but got {value!r}")


def _is_integer(value: object, low: int, high: float = float("inf")) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _is_number(value: object, low: float, high: float = float("inf")) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and low <= value <= high
        and abs(value) != float("inf")
    )


def _is_window(value: object) -> bool:
    match value:
        case (int() | float() as low, int() | float() as high):
            return _is_number(low, -1e38) and _is_number(high, -1e38) and low < high
        case _:
            return False


RULES: Mapping[str, tuple[str, Callable[[object], bool]]] = {
    "size": (
        f"'auto' or an integer from 1 to {LARGEST}",
        lambda value: value == "auto" or _is_integer(value, 1, LARGEST),
    ),
    "crop": (
        "'auto', 'none', 'roi' or 'box'",
        lambda value: value in ("auto", "none", "roi", "box"),
    ),
    "margin": ("a number from 0 to 10", lambda value: _is_number(value, 0, 10)),
    "box_mm": ("a number from 1 to 1000", lambda value: _is_number(value, 1, 1000)),
    "slice_margin": (
        "None or an integer of 0 or above",
        lambda value: value is None or _is_integer(value, 0),
    ),
    "max_slices": (
        "None or an integer of 1 or above",
        lambda value: value is None or _is_integer(value, 1),
    ),
    "n4": ("true or false", lambda value: isinstance(value, bool)),
    "n4_shrink": ("an integer from 1 to 16", lambda value: _is_integer(value, 1, 16)),
    "normalize": (
        "'zscore', 'window', 'percentile', 'byte' or 'none'",
        lambda value: value in ("zscore", "window", "percentile", "byte", "none"),
    ),
    "window": ("two numbers, the lower first", _is_window),
    "transforms": (
        "a list of texts such as 'ToCanonical'",
        lambda value: isinstance(value, tuple) and all(isinstance(text, str) for text in value),
    ),
    "geometry": (
        "'auto', 'sform', 'qform' or 'pixdim'",
        lambda value: value in ("auto", "sform", "qform", "pixdim"),
    ),
}
"""What each option may be, in words and as a check."""

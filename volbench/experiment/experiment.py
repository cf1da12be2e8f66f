"""Experiment: data, components, recipe, folds and seed; its canonical text gives its id."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from volbench._utils.machine_paths import relative_paths
from volbench.errors import SpecError, UsageError
from volbench.experiment.recipe import Recipe
from volbench.experiment.search_space import refuse_search_spaces
from volbench.spec import Spec, Sum, parse, parse_sum

SCHEMA = 1
PERMUTED = "permuted labels of "
"""Stands before the source of data whose labels are exchanged, so that every table says so."""
Level: TypeAlias = Literal["volume", "slice"]
Precision: TypeAlias = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True)
class Tabular:
    """Columns of the data set that a run predicts from, with or without the network's score.

    Attributes:
        columns: Their names, as given.
        fused: Whether the network's out-of-training score stands beside them (late fusion).
        values: Digest of every case's values, which the digest of the images does not cover.
        missing: How many cases have no value, by column.
    """

    columns: tuple[str, ...]
    fused: bool
    values: str
    missing: tuple[int, ...]

    def canonical(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "columns": list(self.columns),
            "fused": self.fused,
            "values": self.values,
            "missing": list(self.missing),
        }


@dataclass(frozen=True)
class Experiment:
    """What a run does; two runs with equal experiments give equal numbers on one machine.

    Attributes:
        source: Where the data came from, as text; the digest, not this, identifies the data.
        data_digest: Identifies every case's voxels, label and patient.
        split_digest: Identifies the folds.
        folds: How many folds hold something out.
        tuning: How options were searched for; None where all of them were given. ``shown`` holds
            the components' text with a question mark for what was searched for, which takes the
            place of theirs here: an example of what was tried. The recipe is an example too.
        weights: Where the file lies that the encoder starts from, if one does. Its digest stands in
            the encoder's spec and identifies it.
        tabular: Columns that it predicts from; None for images alone.
        permuted: Whether labels are exchanged between patients, so that only chance is right.
        train_share: Share of the patients of each fold's training part that it learns from.
    """

    encoder: Spec
    aggregator: Spec | None
    loss: Sum
    recipe: Recipe
    source: str
    data_digest: str
    split_digest: str
    folds: int
    seed: int = 0
    precision: Precision = "auto"
    tuning: Mapping[str, Any] | None = None
    weights: str | None = None
    tabular: Tabular | None = None
    permuted: bool = False
    train_share: float = 1.0

    def __repr__(self) -> str:
        parts = ", ".join(str(part) for part in (self.encoder, self.aggregator, self.loss) if part)
        return f"<experiment {self.id[:8]}: {parts}; {self.folds} folds, seed {self.seed}>"

    @property
    def level(self) -> Level:
        """Slice level is what remains when there is no aggregator."""
        return "slice" if self.aggregator is None else "volume"

    def canonical(self) -> dict[str, Any]:
        """Everything that decides the numbers, as plain JSON values."""
        given = {
            "encoder": str(self.encoder),
            "aggregator": None if self.aggregator is None else str(self.aggregator),
            "loss": str(self.loss),
            "level": self.level,
            "recipe": self.recipe.model_dump(mode="json", exclude={"summary"}),
            "data_digest": self.data_digest,
            "split_digest": self.split_digest,
            "folds": self.folds,
            "seed": self.seed,
            "precision": self.precision,
            **({} if self.tabular is None else {"tabular": self.tabular.canonical()}),
            **({"permuted": True} if self.permuted else {}),
            **({} if self.train_share == 1 else {"train_share": self.train_share}),
        }
        if self.tuning is None:
            return given
        return {**given, **self.tuning["shown"], "tuning": self.tuning}

    @property
    def id(self) -> str:
        """Sixteen hexadecimal digits of the canonical text's SHA-256."""
        text = json.dumps(self.canonical(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def name(self) -> str:
        """A folder name that a person recognises and no other experiment has."""
        aggregator = "slice" if self.aggregator is None else self.aggregator.name
        loss = "+".join(term.spec.name for term in self.loss.terms)
        name = f"{self.encoder.name}-{aggregator}-{loss}-{self.id[:8]}"
        name = f"permuted-{name}" if self.permuted else name
        return name if self.tuning is None else f"tuned-{name}"

    def to_json(self) -> dict[str, Any]:
        """What experiment.json holds."""
        return {
            "schema": SCHEMA,
            "id": self.id,
            "source": relative_paths(self.source),
            "summary": self.recipe.summary,
            **({} if self.weights is None else {"weights": self.weights}),
            **self.canonical(),
        }


def experiment_json(experiment: Experiment) -> dict[str, Any]:
    """All of an experiment as plain data, to be rebuilt elsewhere; experiment.json holds less."""
    plain = {
        name: getattr(experiment, name)
        for name in (
            "source",
            "data_digest",
            "split_digest",
            "folds",
            "seed",
            "precision",
            "weights",
            "permuted",
            "train_share",
        )
    }
    return {
        **plain,
        "encoder": str(experiment.encoder),
        "aggregator": None if experiment.aggregator is None else str(experiment.aggregator),
        "loss": str(experiment.loss),
        "recipe": experiment.recipe.model_dump(mode="json"),
        "tuning": None if experiment.tuning is None else dict(experiment.tuning),
    }


def experiment_from_json(values: Mapping[str, Any]) -> Experiment:
    """The experiment that `experiment_json` wrote."""
    aggregator = values["aggregator"]
    components = {
        "encoder": parse(values["encoder"]),
        "aggregator": None if aggregator is None else parse(aggregator),
        "loss": parse_sum(values["loss"]),
        "recipe": Recipe.model_validate(values["recipe"]),
    }
    return Experiment(**{**values, **components})


def parse_components(
    encoder: str, aggregator: str | None, loss: str, level: Level
) -> tuple[Spec, Spec | None, Sum]:
    """Read the three specs of an experiment at its level.

    Raises:
        SpecError: one of them cannot be read, or holds a search space.
        UsageError: slice level with an aggregator, or volume level without one.
    """
    if level == "slice" and aggregator is not None:
        raise UsageError(
            f"--agg {aggregator} pools slices, but --level slice predicts each one; leave --agg out"
        )
    if level == "volume" and aggregator is None:
        raise UsageError("--level volume needs --agg, as in --agg bilinear; or use --level slice")
    pooling = None if aggregator is None else parse(aggregator)
    network, minimised = parse(encoder), parse_sum(loss)
    for spec in (network, pooling, *(term.spec for term in minimised.terms)):
        if spec is not None:
            refuse_search_spaces(spec)
    return network, pooling, minimised


def differing_keys(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """Dotted keys in which two canonical experiments differ, sorted."""
    ours_flat, theirs_flat = dict(_flat(ours)), dict(_flat(theirs))
    keys = ours_flat.keys() | theirs_flat.keys()
    missing = object()
    return sorted(
        key for key in keys if ours_flat.get(key, missing) != theirs_flat.get(key, missing)
    )


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def data_argument(source: str) -> str:
    """What ``--data`` takes for a source: a manifest's path, else the spec.

    >>> data_argument("manifest(path='/a/b/manifest.csv')")
    '/a/b/manifest.csv'
    >>> data_argument("permuted labels of phantom(patients=30)")
    'phantom(patients=30)'
    """
    source = source.removeprefix(PERMUTED)
    try:
        spec = parse(source)
    except SpecError:
        return source
    options = dict(spec.arguments)
    path = options.pop("path", None)
    return str(path) if spec.name == "manifest" and path is not None and not options else source


def short_source(source: str) -> str:
    """Name the data behind a source in a few words: the end of its path, or the spec itself.

    >>> short_source("manifest(path='/a/b/manifest.csv')")
    'b/manifest.csv'
    >>> short_source("medmnist(keep_every=4, path='/a/b/adrenalmnist3d.npz')")
    'b/adrenalmnist3d.npz, keep_every=4'
    >>> short_source("permuted labels of manifest(path='/a/b/manifest.csv')")
    'permuted labels of b/manifest.csv'
    """
    if source.startswith(PERMUTED):
        return PERMUTED + short_source(source.removeprefix(PERMUTED))
    try:
        spec = parse(source)
    except SpecError:
        return source
    options = dict(spec.arguments)
    path = options.pop("path", None)
    if path is None:
        return source
    others = str(Spec("", tuple(options.items())))
    return "/".join(str(path).split("/")[-2:]) + (f", {others[1:-1]}" if options else "")

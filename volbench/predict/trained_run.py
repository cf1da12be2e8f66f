"""Trained networks of a run, for prediction and export."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load

from volbench.data.preprocessing.options import Preprocessing
from volbench.errors import PluginError, SpecError, StateError, UnknownComponentError, UsageError
from volbench.experiment.recipe import Recipe
from volbench.runs.folder import MODEL, RunFolder
from volbench.runs.load import LoadedRun, load_run
from volbench.spec import Spec, parse
from volbench.training.classifier import Classifier, build_classifier
from volbench.training.tta import Views, build_views


@dataclass(frozen=True)
class TrainedRun:
    """What a run learned, and on what.

    Attributes:
        run: The run, read from its folder.
        recipe: How it was trained; its preprocessing is what a new volume goes through.
        channels: Names of the channels, in the order the networks take them.
        card: Title, licence, citation and address of the data set, those that are stored.
        networks: The network of each finished fold, in evaluation mode, on the CPU.
        missing: Why each other fold has none.
        views: What is scored of a case: itself, or random views of it.
    """

    run: LoadedRun
    recipe: Recipe
    channels: tuple[str, ...]
    card: Mapping[str, str]
    networks: Mapping[int, Classifier]
    missing: Mapping[int, str]
    views: Views

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; of two, the last is the positive one."""
        return self.run.classes

    @property
    def by_slice(self) -> bool:
        """Whether the run predicts slices, not cases."""
        return self.run.experiment["aggregator"] is None

    @property
    def preprocessing(self) -> Preprocessing:
        """What every volume went through."""
        return self.recipe.preprocessing

    @property
    def size(self) -> int:
        """Rows and columns of a prepared slice."""
        assert self.preprocessing.size != "auto"
        return self.preprocessing.size

    def shortfall(self) -> str | None:
        """Say that folds are missing, in one line; None if none is."""
        if not self.missing:
            return None
        why = "; ".join(f"fold {fold}: {reason}" for fold, reason in self.missing.items())
        total = len(self.networks) + len(self.missing)
        return f"{self.run.path}: {len(self.networks)} of {total} folds are used ({why})"


def load_trained(path: Path, *, folds: Sequence[int] | None = None) -> TrainedRun:
    """Read a run and its networks; every file used is compared with its digest.

    Args:
        path: The run's folder.
        folds: Use these only; every finished fold by default.

    Raises:
        UsageError: a fold that is asked for is not there or not finished.
        StateError: it is no run, no fold is finished, or a file was changed.
        PluginError: a component that it was trained with is not installed.
    """
    run = load_run(path)
    if run.columns:
        way_out = "use the run of its network, which lies beside it"
        if not run.uses_images:
            way_out = "give the run of a network"
        raise UsageError(f"{path} predicts from clinical columns and holds no network; {way_out}")
    missing = _missing(run)
    finished = [fold for fold in sorted(run.predictions) if fold not in missing]
    if folds is not None:
        for fold in folds:
            if fold not in finished:
                there = ", ".join(map(str, finished)) or "none"
                raise UsageError(f"--fold {fold}: {missing.get(fold, 'not there')}; done: {there}")
        finished, missing = sorted(set(folds)), {}
    if not finished:
        why = next(iter(missing.values()), "not started")
        raise StateError(
            f"{path}: no fold is finished (fold 0: {why}); rerun the same command to resume"
        )
    facts = _data(run)
    recipe = _recipe(run)
    channels = tuple(facts["channels"])
    with _installed(path):
        return TrainedRun(
            run=run,
            recipe=recipe,
            channels=channels,
            card={
                key: facts[key] for key in ("title", "licence", "citation", "url") if key in facts
            },
            networks=_networks(run, len(channels), finished),
            missing=missing,
            views=build_views(recipe, int(run.experiment["seed"])),
        )


def _missing(run: LoadedRun) -> dict[int, str]:
    """Say of each fold without a network why it has none."""
    found = {}
    for fold in range(int(run.experiment["folds"])):
        result = run.results.get(fold)
        if result is None:
            found[fold] = "not finished"
        elif result.status != "finished":
            found[fold] = f"failed, {result.error}"
    return found


def _data(run: LoadedRun) -> Mapping[str, Any]:
    if (run.path / "data.json").is_file():
        return RunFolder(run.path).data()
    return {"channels": ["image"]}  # a run from before this was kept


def _recipe(run: LoadedRun) -> Recipe:
    said = {"summary": str(run.experiment.get("summary", "")), **run.experiment["recipe"]}
    try:
        return Recipe.model_validate(said)
    except (ValidationError, SpecError) as error:
        reason = " ".join(str(error).split())
        raise StateError(
            f"{run.path / 'experiment.json'}: its recipe cannot be read ({reason}); use the "
            "volbench that wrote it"
        ) from None


def _networks(run: LoadedRun, in_channels: int, folds: Sequence[int]) -> dict[int, Classifier]:
    """Build the network once, and give a copy of it the weights of each fold."""
    aggregator = run.experiment["aggregator"]
    blank = build_classifier(
        _without_download(parse(run.experiment["encoder"])),
        None if aggregator is None else parse(aggregator),
        in_channels=in_channels,
        num_classes=len(run.classes),
        conditional=_has_conditional_head(run, folds[0]),
    ).eval()
    return {fold: _filled(deepcopy(blank), run, fold) for fold in folds}


def _has_conditional_head(run: LoadedRun, fold: int) -> bool:
    """Whether the head lacks an output for one of several classes, as CORN's does.

    The weights say so themselves; the loss that asked for it need not be installed.
    """
    try:
        with safe_open(RunFolder(run.path).fold(fold).path / MODEL, framework="pt") as tensors:
            outputs = tensors.get_slice("head.weight").get_shape()[0]
    except (OSError, SafetensorError):
        return False  # damaged: said where the weights are read
    return len(run.classes) > 2 and outputs == len(run.classes) - 1


def _filled(network: Classifier, run: LoadedRun, fold: int) -> Classifier:
    folder = RunFolder(run.path).fold(fold)
    folder.verify(run.results[fold], only=MODEL)
    try:
        network.load_state_dict(load((folder.path / MODEL).read_bytes()))
    except (RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())
        shown = reason if len(reason) < 200 else f"{reason[:200]}..."
        raise StateError(
            f"{folder.path / MODEL} does not fit the network as it is built now ({shown}); install "
            "the versions in environment.json"
        ) from None
    return network


def _without_download(spec: Spec) -> Spec:
    """Do not fetch pretrained weights that the run's own replace a moment later."""
    arguments = ((key, False if key == "pretrained" else value) for key, value in spec.arguments)
    return Spec(spec.name, tuple(arguments))


@contextmanager
def _installed(path: Path) -> Iterator[None]:
    try:
        yield
    except UnknownComponentError as error:
        raise PluginError(
            f"{path}: {error} Install the plugin that it was trained with; "
            f"{path / 'environment.json'} lists versions"
        ) from None

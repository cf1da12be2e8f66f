"""Write an ONNX file with its metadata, and verify it against PyTorch."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

import volbench
from volbench._utils.atomic_io import write_atomic
from volbench.encoders.lora import merge_lora
from volbench.errors import PluginError
from volbench.export.onnx_graph import BY_FOLD, INPUT, MEAN, Voting, build_graph, require_extra
from volbench.predict.results import NOTICE, THRESHOLD
from volbench.predict.trained_run import TrainedRun, load_trained
from volbench.predict.training_range import TOLERANCE as SPACING_TOLERANCE
from volbench.predict.training_range import training_range

if TYPE_CHECKING:
    from onnx import ModelProto

SCHEMA = 1
CHECKED_SLICES = (1, 2, 3, 7)
LARGEST_DIFFERENCE = 1e-4
"""Largest difference from PyTorch's probabilities, in float32, at which a file is still written."""


@dataclass(frozen=True)
class Exported:
    """A file that was written.

    Attributes:
        difference: Largest difference of a probability between ONNX Runtime and PyTorch.
        notes: What a user of the file must know.

    >>> Exported(Path("mine.onnx"), (0, 1), 81_920, 3e-7, ()).path.name
    'mine.onnx'
    """

    path: Path
    folds: tuple[int, ...]
    bytes: int
    difference: float
    notes: tuple[str, ...]


def export_onnx(
    run: str | Path, output: Path | None = None, *, folds: Sequence[int] | None = None
) -> Exported:
    """Write a run's networks into one ONNX file, checked against PyTorch.

    The graph takes a prepared volume ``[1, channel, slices, size, size]`` in float32 and gives
    ``probabilities`` ``[item, class]``, the mean over the folds, and ``fold_probabilities``
    ``[fold, item, class]``. An item is the volume, or at slice level each of its slices.

    Args:
        run: The run's folder.
        output: The file; named after the run if None.
        folds: Folds whose networks go into the file; every finished one by default.

    Raises:
        UsageError: the extra is not installed, a fold is not there, or the file would be too large.
        StateError: it is no run, no fold is finished, or a file was changed.
        PluginError: a component is missing, cannot be expressed in ONNX, or computes other numbers
            there; nothing is written.
        StorageError: the file cannot be written.

    >>> exported = export_onnx("trained/mine", Path("mine.onnx"))  # doctest: +SKIP
    >>> exported.folds, exported.difference < 1e-4  # doctest: +SKIP
    ((0, 1), True)
    """
    require_extra()
    trained = load_trained(Path(run), folds=folds)
    output = output or Path(_file_name(trained, folds))
    # Evaluation mode without gradients; the settings of a training process play no part.
    for network in trained.networks.values():
        merge_lora(network.encoder)
    voting = Voting(list(trained.networks.values()), trained.views.training).eval()
    aggregator = trained.run.experiment["aggregator"]
    proto = build_graph(
        voting,
        in_channels=len(trained.channels),
        size=trained.size,
        encoder=str(trained.run.experiment["encoder"]),
        aggregator=None if aggregator is None else str(aggregator),
    )
    _describe(proto, trained)
    content = proto.SerializeToString()
    difference = _difference(content, voting, len(trained.channels), trained.size)
    write_atomic(output, content)
    return Exported(
        path=output,
        folds=tuple(trained.networks),
        bytes=len(content),
        difference=difference,
        notes=tuple(_notes(trained)),
    )


def _file_name(trained: TrainedRun, folds: Sequence[int] | None) -> str:
    name = trained.run.path.resolve().name
    asked = "" if folds is None else "-fold" + "-".join(map(str, trained.networks))
    return f"{name}{asked}.onnx"


def _describe(proto: "ModelProto", trained: TrainedRun) -> None:
    """Put into the file what one must know to use it; every value is text, most of it JSON."""
    from onnx.helper import set_model_props

    experiment, folds = trained.run.experiment, tuple(trained.networks)
    spacing = training_range(trained.run, folds)
    facts: dict[str, object] = {
        "schema": SCHEMA,
        "version": volbench.__version__,
        "notice": NOTICE,
        "run": trained.run.path.resolve().name,
        "experiment": experiment["id"],
        "encoder": experiment["encoder"],
        "aggregator": experiment["aggregator"],
        "level": experiment["level"],
        "folds": list(folds),
        "classes": list(trained.classes),
        "threshold": THRESHOLD if len(trained.classes) == 2 else None,
        "channels": list(trained.channels),
        "size": trained.size,
        "normalize": trained.preprocessing.normalize,
        "preprocessing": trained.preprocessing.values(),
        "spacing_mm": spacing
        and {
            axis: [low, high]
            for axis, low, high in zip(
                ("slice", "row", "column"), spacing.low_mm, spacing.high_mm, strict=True
            )
        },
        "spacing_tolerance": SPACING_TOLERANCE,
        "planes": list(spacing.planes) if spacing else [],
        "data_digest": experiment["data_digest"],
        "data": dict(trained.card),
        "tta": {**trained.recipe.tta.model_dump(mode="json"), "in_this_file": False},
    }
    set_model_props(
        proto,
        {
            f"volbench.{key}": value if isinstance(value, str) else json.dumps(value)
            for key, value in facts.items()
        },
    )
    proto.doc_string = f"{experiment['encoder']} of volbench {volbench.__version__}. {NOTICE}"


def _difference(content: bytes, voting: Voting, in_channels: int, size: int) -> float:
    """Run the file and PyTorch on random volumes.

    Raises:
        PluginError: it does not run, or not to the same numbers.
    """
    import onnxruntime

    generator = torch.Generator().manual_seed(0)
    largest = 0.0
    try:
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        for slices in CHECKED_SLICES:
            volume = torch.randn(1, in_channels, slices, size, size, generator=generator)
            found = session.run([MEAN, BY_FOLD], {INPUT: volume.numpy()})
            with torch.no_grad():
                wanted = voting(volume)
            for ours, theirs in zip(found, wanted, strict=True):
                apart = float(np.abs(ours - theirs.numpy()).max())
                if not apart <= LARGEST_DIFFERENCE:  # NaN is no agreement
                    raise PluginError(
                        f"with {slices} slices the ONNX graph differs from PyTorch by {apart:.2g} "
                        f"(at most {LARGEST_DIFFERENCE:g}); nothing is written, use the run itself"
                    )
                largest = max(largest, apart)
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise PluginError(
            f"the ONNX graph does not run ({reason}); nothing is written, use the run itself"
        ) from error
    return largest


def _notes(trained: TrainedRun) -> list[str]:
    notes = []
    if shortfall := trained.shortfall():
        notes.append(shortfall)
    if trained.views.passes:
        notes.append(
            f"volbench predict averages over {trained.views.passes} random views of each case; the "
            "file sees the case itself, once"
        )
    return notes

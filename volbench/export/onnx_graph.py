"""Conversion of networks to one ONNX graph (onnx.ai) with any number of slices."""

import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from volbench.errors import PluginError, UsageError
from volbench.interfaces import Augmentation
from volbench.training.classifier import Classifier, probabilities
from volbench.types import Tokens, Volume

if TYPE_CHECKING:
    from onnx import ModelProto

INPUT, MEAN, BY_FOLD, SLICES = "volume", "probabilities", "fold_probabilities", "slices"
EXTRA = ("onnx", "onnxscript", "onnxruntime")
LARGEST_BYTES = 2_000_000_000
"""An ONNX file is one protobuf message, which ends at two gibibytes."""

EXAMPLE_SLICES = 5
FEWEST_SLICES = 3
"""What the tracer is told. It treats one and two slices as special cases that would then be all a
graph is good for; that the graph holds for them too is shown by running it."""


class Voting(nn.Module):
    """Networks side by side: one volume in, the probabilities of each and their mean out.

    At slice level each slice of the volume is an item, else the volume is the only one.
    """

    def __init__(self, networks: Sequence[Classifier], trained_under: Augmentation) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self._trained_under = trained_under

    def forward(
        self, volume: Volume
    ) -> tuple[Float[Tensor, "item class"], Float[Tensor, "fold item class"]]:
        """Predict one volume, without padding."""
        seen = self._trained_under.eval_view(volume)
        by_fold = torch.stack([_probabilities(network, seen) for network in self.networks])
        return by_fold.mean(dim=0), by_fold


def _probabilities(network: nn.Module, volume: Volume) -> Float[Tensor, "item class"]:
    assert isinstance(network, Classifier)
    tokens: Tokens = network.encoder(volume)
    embedding = tokens.flatten(0, 1) if network.aggregator is None else _pooled(network, tokens)
    return probabilities(network.apply_head(embedding))


def _pooled(network: Classifier, tokens: Tokens) -> Tensor:
    """Pool with a mask of all slices: without one an aggregator may count them as a constant."""
    assert network.aggregator is not None
    mask = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
    pooled: Tensor = network.aggregator(tokens, mask)
    return pooled


class _EncoderOnly(nn.Module):
    def __init__(self, network: Classifier) -> None:
        super().__init__()
        self.network = network

    def forward(self, given: Tensor) -> Tensor:
        tokens: Tensor = self.network.encoder(given)
        return tokens


class _AggregatorOnly(nn.Module):
    def __init__(self, network: Classifier) -> None:
        super().__init__()
        self.network = network

    def forward(self, given: Tensor) -> Tensor:
        return _pooled(self.network, given)


def require_extra() -> None:
    """Refuse where ONNX is not installed.

    Raises:
        UsageError: with the way to install it.
    """
    missing = [name for name in EXTRA if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"export needs {', '.join(missing)}; install it: pip install 'volbench[export]'"
        )


def build_graph(
    voting: Voting, *, in_channels: int, size: int, encoder: str, aggregator: str | None
) -> "ModelProto":
    """Trace the networks and translate the trace.

    Args:
        voting: In evaluation mode, on the CPU.
        in_channels: Channels of a volume.
        size: Rows and columns of a prepared slice.
        encoder: Its spec, for messages.
        aggregator: The same; None at slice level.

    Raises:
        UsageError: the networks are too large for one file.
        PluginError: a component uses what ONNX cannot express.
    """
    stored = (*voting.parameters(), *voting.buffers())
    total = sum(tensor.numel() * tensor.element_size() for tensor in stored)
    if total > LARGEST_BYTES:
        raise UsageError(
            f"{len(voting.networks)} networks are {total / 1e9:.1f} GB, more than one ONNX file "
            "holds (2 GB); export them one by one with --fold"
        )
    example = torch.zeros(1, in_channels, EXAMPLE_SLICES, size, size)
    try:
        program = _translated(voting, example, axis=2, outputs=[MEAN, BY_FOLD])
    except Exception as error:
        raise _blame(voting, example, encoder, aggregator, error) from error
    proto: ModelProto = program.model_proto
    # What the translator notes of each node, paths of this machine among it, is half of the file.
    for node in proto.graph.node:
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    proto.graph.ClearField("value_info")
    for value in (*proto.graph.input, *proto.graph.output):
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param:
                dimension.dim_param = SLICES
    return proto


def _translated(module: nn.Module, example: Tensor, *, axis: int, outputs: list[str]) -> Any:
    slices = torch.export.Dim(SLICES, min=FEWEST_SLICES)
    # PyTorch warns of its own deprecations on the way, which are not the user's.
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        traced = torch.export.export(
            module.eval(), (example,), dynamic_shapes=({axis: slices},), strict=False
        )
        # Not optimised: ONNX Script 0.7 takes the bilinear root's 1e-12 for zero and drops it, and
        # ONNX Runtime optimises anyway when it loads a file.
        return torch.onnx.export(
            traced,
            dynamo=True,
            optimize=False,
            verbose=False,
            input_names=[INPUT],
            output_names=outputs,
        )


def _blame(
    voting: Voting, example: Tensor, encoder: str, aggregator: str | None, error: Exception
) -> PluginError:
    """Find out which component fails on its own."""
    network = voting.networks[0]
    assert isinstance(network, Classifier)
    tokens = torch.zeros(1, EXAMPLE_SLICES, network.encoder.num_features)
    pieces: list[tuple[str, nn.Module, Tensor, int]] = [
        (f"encoder {encoder}", _EncoderOnly(network), example, 2)
    ]
    if aggregator is not None:
        pieces.append((f"aggregator {aggregator}", _AggregatorOnly(network), tokens, 1))
    culprit = "the network"
    for name, module, given, axis in pieces:
        try:
            _translated(module, given, axis=axis, outputs=["out"])
        except Exception as found:
            culprit, error = name, found
            break
    return PluginError(
        f"{culprit} cannot be exported to ONNX ({_reason(error)}); export a run with another one"
    )


def _reason(error: BaseException) -> str:
    """The innermost cause in one short line; exporters wrap it in pages."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip(" -") for line in str(error).splitlines() if line.strip()]
    said = " ".join(lines[:2]) or "no reason given"
    short = said if len(said) <= 200 else f"{said[:200]}..."
    return f"{type(error).__name__}: {short}"

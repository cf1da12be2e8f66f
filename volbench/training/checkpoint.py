"""A fold's state between two epochs: enough to go on as if never stopped.

One safetensors file behind its SHA-256; what was changed on disk is not gone on with.

Random numbers need no state: they follow from the seed, the fold, the epoch and the case.
"""

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from volbench._utils.atomic_io import write_atomic
from volbench.runs.history_file import FORMER_COLUMNS

logger = logging.getLogger(__name__)

DIGEST_BYTES = 32
"""Length of the SHA-256 that stands before the tensors."""
CHECKPOINT_SECONDS = 30.0
"""Shortest time between two checkpoints: writing one takes about as long as a short epoch."""
State = dict[str, Tensor]


@dataclass
class Progress:
    """What a fold has reached.

    Attributes:
        identity: Experiment, fold and settings; a checkpoint of another identity is not used.
        epoch: Epochs done.
        best_epoch: Epoch, counted from 1, of the weights kept for the held-out fold.
        best_score: What that epoch reached; the larger tuple is better.
        seconds: Time spent, over all sessions.
    """

    identity: str
    epoch: int = 0
    best_epoch: int = 0
    best_score: tuple[float, ...] = ()
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)

    @property
    def losses(self) -> list[float]:
        """Training loss of each epoch done."""
        return [row["train_loss"] for row in self.history]


@dataclass
class Best:
    """What a fold keeps of its best epoch.

    Attributes:
        weights: Of the network.
        optimizer: Averages of the optimiser, ``<parameter>/<name>``; empty unless they are asked
            for again.
    """

    weights: State = field(default_factory=State)
    optimizer: State = field(default_factory=State)


def write_checkpoint(
    path: Path,
    progress: Progress,
    modules: Mapping[str, nn.Module],
    optimizer: torch.optim.Optimizer,
    best: Best,
) -> None:
    """Write everything; replaces the previous checkpoint in one step."""
    tensors = {f"best/{name}": tensor for name, tensor in best.weights.items()}
    tensors |= {f"best_optimizer/{name}": tensor for name, tensor in best.optimizer.items()}
    for key, module in modules.items():
        tensors |= {f"{key}/{name}": tensor for name, tensor in snapshot(module).items()}
    averages = optimizer_snapshot(optimizer)
    tensors |= {f"optimizer/{name}": tensor for name, tensor in averages.items()}
    content = save(tensors, {"progress": json.dumps(asdict(progress))})
    write_atomic(path, hashlib.sha256(content).digest() + content)


def read_checkpoint(
    path: Path,
    identity: str,
    modules: Mapping[str, nn.Module],
    optimizer: torch.optim.Optimizer,
) -> tuple[Progress, Best]:
    """Restore what was written for this identity; a fresh start where there is none."""
    fresh = Progress(identity), Best()
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return fresh
    try:
        digest, content = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
        if hashlib.sha256(content).digest() != digest:
            raise ValueError
        tensors = load(content)
        size = int.from_bytes(content[:8], "little")
        stored = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["progress"])
    except (SafetensorError, KeyError, ValueError):
        logger.warning("%s is damaged; the fold starts again from its first epoch", path)
        return fresh  # damaged: the fold is trained again from its first epoch
    if stored["identity"] != identity:
        logger.warning("%s is of another experiment or device; the fold starts again", path)
        return fresh
    stored["history"] = [
        {FORMER_COLUMNS.get(name, name): value for name, value in row.items()}
        for row in stored["history"]
    ]
    progress = Progress(**{**stored, "best_score": tuple(stored["best_score"])})
    groups: dict[str, State] = {}
    for name, tensor in tensors.items():
        key, _, rest = name.partition("/")
        groups.setdefault(key, {})[rest] = tensor
    for key, module in modules.items():
        module.load_state_dict(groups.get(key, {}))
    _restore_optimizer(optimizer, groups.get("optimizer", {}))
    return progress, Best(groups.get("best", {}), groups.get("best_optimizer", {}))


def snapshot(module: nn.Module) -> State:
    """Copy a module's state to the host; tensors that share memory become separate."""
    return {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in module.state_dict().items()
    }


def optimizer_snapshot(optimizer: torch.optim.Optimizer) -> State:
    """Copy an optimiser's averages to the host, as ``<parameter>/<name>``."""
    return {
        f"{index}/{slot}": value.detach().cpu().clone()
        for index, slots in optimizer.state_dict()["state"].items()
        for slot, value in slots.items()
        if isinstance(value, Tensor)
    }


def put_back(optimizer: torch.optim.Optimizer, averages: State) -> None:
    """Give an optimiser that has made steps its averages of another epoch, in place."""
    parameters = [each for group in optimizer.param_groups for each in group["params"]]
    for name, value in averages.items():
        index, _, slot = name.partition("/")
        optimizer.state[parameters[int(index)]][slot].copy_(value)


def _restore_optimizer(optimizer: torch.optim.Optimizer, tensors: State) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, _, slot = name.partition("/")
        state.setdefault(int(index), {})[slot] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})

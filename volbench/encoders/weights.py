"""Weight files: safetensors, or a PyTorch state dict read without pickle.

A file is read by one function, whatever it holds: a bare state dict or one inside a training
checkpoint, in any floating-point type, with the prefixes that wrappers leave (``module.``,
``backbone.``, ``_orig_mod.``). Tensors of a classification head are left out; anything else that
does not fit is refused, and named.
"""

import hashlib
import io
import pickletools
import re
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor, nn

from volbench.errors import SpecError

StateDict: TypeAlias = Mapping[str, Tensor]

CONTAINERS = (
    "state_dict", "model_state_dict", "model_state", "network_weights", "teacher", "model",
    "encoder", "net", "module",
)  # fmt: skip
"""Where training checkpoints keep the network, in order of preference."""

HEADS = (
    "head", "head_dist", "heads", "fc", "classifier", "last_linear", "_fc", "aggregator", "decoder",
    "mask_token", "conv_seg", "seg_layers",
)  # fmt: skip
"""First part of the names that belong to a head or a decoder, not to an encoder."""

PINNED = re.compile(r"(?P<file>.+)#(?P<digest>[0-9a-f]{16})")
SHOWN = 4

UNSAFE = (
    "holds more than tensors and plain values, and loading it would run code from it; save its "
    "state dict as safetensors where you trust it"
)


FORBIDDEN = ("GLOBAL", "nsupported", "unrecognized", "Can only")
"""Words of the reader of torch where a file holds, or may hold, code."""

IMPORTS = frozenset({"GLOBAL", "STACK_GLOBAL", "INST"})
"""Operations of a pickle that name a function or a class."""

SAVED_BY_TORCH = (b"PK", b"\x80")
"""First bytes of an archive that torch.save writes, and of the pickle that it wrote before 1.6."""
LFS_POINTER = b"version https://git-lfs"


def file_digest(path: Path) -> str:
    """SHA-256 of a file.

    Raises:
        SpecError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _refused(path, f"cannot be read: {error.strerror}") from None


def is_pinned(weights: str) -> bool:
    """Whether ``weights`` is what an experiment records, ``name#digest``: nothing is to be loaded.

    A finished fold has all weights in its own file, so a network that is built to be filled from
    there needs no other. ``/folder/name#digest`` is loaded, and compared with the digest first.

    >>> is_pinned("vit.safetensors#0123456789abcdef"), is_pinned("vit.safetensors")
    (True, False)
    """
    return PINNED.fullmatch(weights) is not None and "/" not in weights


def read_weights(weights: str) -> dict[str, Tensor]:
    """Read the tensors of a file, in float32; nothing in it is ever executed.

    Args:
        weights: Path of a ``.safetensors`` file or of a state dict saved by ``torch.save``; after
            ``#``, the first 16 digits of its SHA-256.

    Raises:
        SpecError: there is no such file, it is damaged, holds more than tensors and plain values,
            is another one than its digest says, or holds NaN or infinity.
    """
    pinned = PINNED.fullmatch(weights)
    path = Path(pinned["file"] if pinned else weights).expanduser()
    digest = file_digest(path)
    if pinned and not digest.startswith(pinned["digest"]):
        raise _refused(path, "has changed since the run was planned; put the file back")
    state = _unwrapped(_content(path), path)
    tensors = {name: _plain(tensor) for name, tensor in state.items()}
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise _refused(path, f"holds NaN or infinity in {name}; it is no usable checkpoint")
    return tensors


def strip_prefix(state: StateDict, expected: Sequence[str]) -> dict[str, Tensor]:
    """Leave out the prefix under which most of the expected names are found, and what lacks it."""
    found: Counter[str] = Counter()
    wanted = set(expected)
    for name in state:
        parts = name.split(".")
        for cut in range(len(parts)):
            if ".".join(parts[cut:]) in wanted:
                found["".join(f"{part}." for part in parts[:cut])] += 1
    if not found:
        return dict(state)
    # Of several that hold as much, a teacher's or an average's weights are the ones to use.
    prefix = max(found, key=lambda one: (found[one], "teacher" in one or "ema" in one))
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in state.items()
        if name.startswith(prefix)
    }


def load_weights(module: nn.Module, state: StateDict, *, source: str, owner: str) -> None:
    """Load tensors into a module, all of its own or none.

    Args:
        module: What is filled.
        state: Tensors by name; those of a head are left out.
        source: Where they are from, for messages.
        owner: What is filled, for messages.

    Raises:
        SpecError: tensors are missing, left over or of another shape; names the first of them.
    """
    own = module.state_dict()
    state = strip_prefix(state, tuple(own))
    counters = {name for name in own if name.endswith("num_batches_tracked")}
    missing = [name for name in own if name not in state and name not in counters]
    extra = [name for name in state if name not in own and not _is_of_head(name)]
    shapes = [
        f"{name} is {_shape(state[name])} where {_shape(own[name])} belongs"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    problems = [
        _listed(f"{len(shapes)} of another shape", shapes),
        _listed(f"{len(missing)} missing", missing),
        _listed(f"{len(extra)} unknown", extra),
    ]
    if shapes or missing or extra:
        raise SpecError(
            f"weights {source!r} do not fit {owner}: {'; '.join(filter(None, problems))}. "
            "Give the architecture that they were trained with"
        )
    module.load_state_dict({name: state.get(name, own[name]) for name in own})


def _content(path: Path) -> object:
    data = path.read_bytes()
    if (problem := _what_it_is_not(data, path.suffix)) is not None:
        raise _refused(path, problem)
    if path.suffix == ".safetensors":
        try:
            return load_safetensors(data)
        except SafetensorError as error:
            raise _refused(path, f"is no whole safetensors file ({error}); copy it again") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickle protocols: what matters is refused below
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever the reader of a damaged archive raises
        text = " ".join(str(error).split())
        if type(error).__name__ == "UnpicklingError":
            if any(word in text for word in FORBIDDEN) and _may_hold_code(data):
                raise _refused(path, UNSAFE) from None
            text = "its pickle cannot be read"
        reason = text[:120] or "it is cut off"
        raise _refused(path, f"is damaged or no checkpoint ({reason}); copy it again") from None


def _what_it_is_not(data: bytes, suffix: str) -> str | None:
    """Why a file is no checkpoint, by its first bytes; None where it begins as one does."""
    if not data:
        return "is empty; copy it again"
    if data.startswith(LFS_POINTER):
        return "is a Git LFS pointer, not the weights; fetch them with git lfs pull"
    if data.lstrip()[:1] == b"<":
        return "is a web page, not weights; download the file itself"
    if suffix != ".safetensors" and not data.startswith(SAVED_BY_TORCH):
        return (
            f"is no checkpoint of torch.save, which begins with {SAVED_BY_TORCH[0]!r}, but it "
            f"begins with {data[:4]!r}; give a .safetensors or .pth file"
        )
    return None


def _may_hold_code(data: bytes) -> bool:
    """Whether a file is an archive, or begins with whole pickles of which one names a function.

    Where a pickle is cut off or its bytes are random, the reader of torch also speaks of names that
    are not allowed; saying so would send people to look for code that is not there.
    """
    if data.startswith(b"PK"):
        return True
    stream = io.BytesIO(data)
    try:
        while stream.tell() < len(data):
            names = {code.name for code, _, _ in pickletools.genops(stream)}
            if not IMPORTS.isdisjoint(names):
                return True
    except Exception:  # whatever it raises for bytes that are no pickle
        return False
    return False


def _unwrapped(content: object, path: Path) -> StateDict:
    """Find the state dict inside a checkpoint."""
    while isinstance(content, Mapping):
        tensors = {str(name): one for name, one in content.items() if isinstance(one, Tensor)}
        if tensors:
            return tensors
        inside = [content[key] for key in CONTAINERS if isinstance(content.get(key), Mapping)]
        content = inside[0] if inside else None
    raise _refused(path, "holds no state dict; save model.state_dict()")


def _plain(tensor: Tensor) -> Tensor:
    tensor = tensor.detach()
    return tensor.float().contiguous() if tensor.is_floating_point() else tensor


def _is_of_head(name: str) -> bool:
    return name.split(".", 1)[0] in HEADS


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "a number"


def _listed(what: str, names: Sequence[str]) -> str:
    more = ", …" if len(names) > SHOWN else ""
    return f"{what} ({', '.join(names[:SHOWN])}{more})" if names else ""


def _refused(path: Path, why: str) -> SpecError:
    return SpecError(f"weights {str(path)!r}: the file {why}")

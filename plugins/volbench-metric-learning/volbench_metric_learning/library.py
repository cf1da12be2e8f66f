"""Losses and miners of pytorch-metric-learning by name, with their options checked.

The library passes what it does not know on and on, and finds a wrong value when it computes; here
both are told when a loss is built. Names are the library's own. Case, underscores and the ending
may be left out: ``supcon``, ``sup_con`` and ``SupConLoss`` are one.
"""

import inspect
from collections.abc import Mapping
from difflib import get_close_matches
from types import ModuleType

from pytorch_metric_learning import losses, miners
from pytorch_metric_learning.losses.mixins import WeightRegularizerMixin
from torch import nn
from volbench.interfaces import Problem
from volbench.spec import Spec, Value

COMES_FROM_THE_PROBLEM = ("self", "num_classes", "embedding_size")

NO_COMPONENT = "is a part or a wrapper of others"
NEEDS_VIEWS = "compares two views of each case, which no batch has"
ORDER = "gives another value when the batch is in another order"
RANDOM = "draws pairs at random, so that one batch has many values"
REFUSED: Mapping[str, str] = {
    "BaseLossWrapper": NO_COMPONENT,
    "BaseMetricLossFunction": NO_COMPONENT,
    "BaseMiner": NO_COMPONENT,
    "CrossBatchMemory": NO_COMPONENT,
    "DistanceWeightedMiner": RANDOM,
    "DynamicSoftMarginLoss": "keeps the graph of the batch before, and fails on the second batch",
    "EmbeddingsAlreadyPackagedAsTriplets": "takes every three cases for a triplet",
    "GenericPairLoss": NO_COMPONENT,
    "HistogramLoss": "fails when all embeddings are alike",
    "InstanceLoss": ORDER,
    "ManifoldLoss": "takes no labels",
    "MultipleLosses": NO_COMPONENT,
    "NCALoss": "is not a number for two cases of two classes",
    "NPairsLoss": ORDER,
    "P2SGradLoss": "is not a number for an embedding of zeros",
    "SelfSupervisedLoss": NEEDS_VIEWS,
    "SmoothAPLoss": ORDER,
    "TupletMarginLoss": "is not a number for two equal embeddings",
    "UniformHistogramMiner": RANDOM,
    "VICRegLoss": NEEDS_VIEWS,
}
"""What the library has and volbench cannot use, and why."""


def build_loss(spec: Spec | str, problem: Problem) -> nn.Module:
    """Build a loss: a name, or a name with options.

    Args:
        spec: As in ``"supcon"`` or ``supcon(temperature=0.1)``.
        problem: Gives the number of classes and of features to a loss with weights of its own.

    Raises:
        ValueError: no such loss, one that cannot be used, or an option that it does not take.
    """
    spec = _as_spec(spec)
    found = _find("loss", losses, spec.name)
    context = {}
    if issubclass(found, WeightRegularizerMixin):
        context = {"num_classes": problem.num_classes, "embedding_size": problem.num_features}
    return _build("loss", found, spec, context)


def build_miner(spec: Spec | str) -> nn.Module:
    """Build a miner: a name, or a name with options.

    Args:
        spec: As in ``"multi_similarity"`` or ``multi_similarity(epsilon=0.1)``.

    Raises:
        ValueError: no such miner, one that cannot be used, or an option that it does not take.
    """
    spec = _as_spec(spec)
    return _build("miner", _find("miner", miners, spec.name), spec, {})


def usable(module: ModuleType) -> Mapping[str, type[nn.Module]]:
    """The library's losses, or its miners, that volbench can use, by the library's names."""
    return {name: found for name, found in _classes(module).items() if name not in REFUSED}


def options_of(found: type[nn.Module]) -> Mapping[str, inspect.Parameter]:
    """What a loss or a miner of the library's may be told in a spec."""
    parameters = inspect.signature(found).parameters
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {
        name: parameter
        for name, parameter in parameters.items()
        if parameter.kind in named and name not in COMES_FROM_THE_PROBLEM
    }


def _as_spec(spec: Spec | str) -> Spec:
    return Spec(spec) if isinstance(spec, str) else spec


def _classes(module: ModuleType) -> Mapping[str, type[nn.Module]]:
    return {
        name: found
        for name, found in vars(module).items()
        if isinstance(found, type) and issubclass(found, nn.Module)
    }


def _plain(name: str) -> str:
    return name.replace("_", "").lower().removesuffix("loss").removesuffix("miner")


def _find(kind: str, module: ModuleType, name: str) -> type[nn.Module]:
    by_plain_name = {_plain(known): known for known in _classes(module)}
    known = by_plain_name.get(_plain(name))
    if known is None:
        names = {_plain(one): one for one in usable(module)}
        near = get_close_matches(_plain(name), names, n=1)
        hint = (
            f"did you mean {names[near[0]]!r}?" if near else f"it has {', '.join(names.values())}"
        )
        raise ValueError(f"pytorch-metric-learning has no {kind} {name!r}; {hint}")
    if known in REFUSED:
        raise ValueError(f"{known} {REFUSED[known]}; choose another {kind}")
    return _classes(module)[known]


def _build(
    kind: str, found: type[nn.Module], spec: Spec, context: Mapping[str, object]
) -> nn.Module:
    known = options_of(found)
    for name, value in spec.arguments:
        if name not in known:
            raise ValueError(
                f"{kind} {spec.name} has no option {name!r}; it has {', '.join(known) or 'none'}"
            )
        _check(f"{kind} {spec.name}: {name}", value, known[name].default)
    missing = [
        name
        for name, parameter in known.items()
        if parameter.default is parameter.empty and name not in spec.kwargs
    ]
    if missing:
        raise ValueError(f"{kind} {spec.name} needs {' and '.join(missing)}")
    try:
        return found(**context, **spec.kwargs)
    except (AssertionError, ValueError, TypeError, NotImplementedError) as error:
        raise ValueError(
            f"{kind} {spec} is refused by its library ({' '.join(str(error).split())})"
        ) from None


def _check(what: str, value: Value, default: object) -> None:
    """Refuse a value of another type than the default, where the default tells."""
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise ValueError(f"{what} must be True or False, but got {value!r}")
    elif isinstance(default, int | float) and (
        isinstance(value, bool) or not isinstance(value, int | float)
    ):
        raise ValueError(f"{what} must be a number, but got {value!r}")

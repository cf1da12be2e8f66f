"""Options shared by the losses: reduction over items, class weights."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from volbench.interfaces import Problem
from volbench.types import Labels, Scalar


def check_choice(option: str, value: str, *, among: tuple[str, ...]) -> None:
    """Refuse a value that is not among those an option knows.

    Raises:
        ValueError: with the option, its value and the choices.
    """
    if value not in among:
        choices = " or ".join(map(repr, among))
        raise ValueError(f"{option} must be {choices}, but got {option}={value!r}")


def reduce(values: Float[Tensor, " item"], reduction: str) -> Scalar:
    """Average or add up one value per item."""
    return values.mean() if reduction == "mean" else values.sum()


def weigh_items(
    values: Float[Tensor, "item *threshold"],
    labels: Labels,
    weights: Float[Tensor, " class"] | None,
) -> Float[Tensor, "item *threshold"]:
    """Multiply each item's values by the weight of its class; None weighs all by one."""
    if weights is None:
        return values
    each = weights.to(values.dtype)[labels.long()]
    return values * each.reshape(-1, *(1 for _ in values.shape[1:]))


def weights_per_class(
    weights: Sequence[float], problem: Problem, *, option: str
) -> Float[Tensor, " class"]:
    """Return the weights as a tensor.

    Raises:
        ValueError: one weight per class is not what they are, or one is negative.
    """
    if len(weights) != problem.num_classes:
        raise ValueError(
            f"{option} must hold one number for each of {problem.num_classes} classes, "
            f"but got {option}={tuple(weights)!r}"
        )
    if min(weights) < 0:
        raise ValueError(f"{option} must not be negative, but got {option}={tuple(weights)!r}")
    return torch.tensor(weights, dtype=torch.float32)


def class_weights(
    given: str | tuple[float, ...] | None, problem: Problem
) -> Float[Tensor, " class"] | None:
    """Weights as an option ``class_weight`` names them: None, one per class, or ``"balanced"``.

    Balanced ones are $w_k = N / (K N_k)$ from the cases of the training part, and average to one
    over them.

    Raises:
        ValueError: they do not fit the classes, or a class to balance has no training case.
    """
    if given is None:
        return None
    if given != "balanced":
        if isinstance(given, str):
            raise ValueError(
                "class_weight must be 'balanced' or one number per class, but got "
                f"class_weight={given!r}"
            )
        return weights_per_class(given, problem, option="class_weight")
    if 0 in problem.class_counts:
        raise ValueError(
            f"class_weight='balanced' needs a training case of every class, "
            f"but class {problem.class_counts.index(0)} has none"
        )
    cases = sum(problem.class_counts)
    weights = tuple(cases / (problem.num_classes * count) for count in problem.class_counts)
    return weights_per_class(weights, problem, option="class_weight")

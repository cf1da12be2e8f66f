"""Triplet loss, mined in the batch (Schroff et al., FaceNet, CVPR 2015, arXiv:1503.03832)."""

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from volbench.interfaces import Loss, Problem
from volbench.losses.options import check_choice
from volbench.types import Embedding, Labels, Output, Scalar


class Triplet(Loss):
    r"""Hinge on squared distances: $[\, d(a, p) - d(a, n) + m \,]_+$, $d(x, y) = \lVert x - y
    \rVert_2^2$.

    Mining, always within the batch:

    - ``"semihard"`` (FaceNet): for every anchor and positive, the nearest of the negatives with
      $d(a, p) < d(a, n) < d(a, p) + m$. A pair without such a negative forms no triplet; nothing
      takes its place. (TensorFlow Addons falls back on the farthest negative, so pairs whose
      negatives are all nearer than the positive dominate its mean; it is those that FaceNet found
      to collapse the embedding. pytorch-metric-learning drops them too, but keeps every negative
      in the margin instead of the nearest.)
    - ``"hard"`` (Hermans et al., 2017, arXiv:1703.07737): for every anchor, its farthest positive
      and its nearest negative, whether or not the hinge is open. An anchor without a positive or
      without a negative forms no triplet.

    A batch that forms no triplet, one of a single class for instance, gives 0 and a zero gradient.

    Args:
        problem: Not needed; here for the common form of a loss.
        margin: m, in units of squared distance. With ``normalize``, distances are from 0 to 4.
        mining: Which triplets count.
        normalize: Scale each embedding to unit length first.
        reduction: ``"mean"`` over the triplets formed, or their ``"sum"``.

    Raises:
        ValueError: an option is out of range.

    >>> from torch import tensor
    >>> from volbench.interfaces import Problem
    >>> from volbench.types import Output
    >>> loss = Triplet(Problem((60, 30), num_features=1), margin=0.5, normalize=False)
    >>> embedding = tensor([[0.0], [0.5], [0.6]])
    >>> output = Output(logits=tensor([[0.0], [0.0], [0.0]]), embedding=embedding)
    >>> round(loss(output, tensor([1, 1, 0])).item(), 3)
    0.39
    """

    # With unit length, distances are from 0 to 4.
    needs_pairs: ClassVar[bool] = True
    search_space: ClassVar[Mapping[str, str]] = {"margin": "uniform(low=0.05, high=1)"}

    def __init__(
        self,
        problem: Problem,
        *,
        margin: float = 0.2,
        mining: str = "semihard",
        normalize: bool = True,
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        if not margin > 0:
            raise ValueError(f"margin must be more than 0, but got {margin=}")
        check_choice("mining", mining, among=("semihard", "hard"))
        check_choice("reduction", reduction, among=("mean", "sum"))
        self.margin = margin
        self.mining = mining
        self.normalize = normalize
        self.reduction = reduction

    def forward(self, output: Output, labels: Labels) -> Scalar:
        """Score ``[item, feature]`` embeddings; the logits are not looked at."""
        distance = _squared_distances(output.embedding, normalize=self.normalize)
        same = labels[:, None] == labels[None, :]
        itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        mine = self._semihard if self.mining == "semihard" else self._hard
        violation, formed = mine(distance, same & ~itself, ~same)
        total = violation.relu().where(formed, 0.0).sum()
        return total if self.reduction == "sum" else total / formed.sum().clamp(min=1)

    def _semihard(
        self,
        distance: Float[Tensor, "item item"],
        positive: Bool[Tensor, "item item"],
        negative: Bool[Tensor, "item item"],
    ) -> tuple[Float[Tensor, "item item"], Bool[Tensor, "item item"]]:
        """Return the violation of each (anchor, positive) and whether it forms a triplet."""
        to_positive, to_negative = distance[:, :, None], distance[:, None, :]
        candidate = (
            positive[:, :, None]
            & negative[:, None, :]
            & (to_negative > to_positive)
            & (to_negative < to_positive + self.margin)
        )
        formed = candidate.any(dim=2)
        nearest = to_negative.where(candidate, math.inf).amin(dim=2).where(formed, 0.0)
        return distance - nearest + self.margin, formed

    def _hard(
        self,
        distance: Float[Tensor, "item item"],
        positive: Bool[Tensor, "item item"],
        negative: Bool[Tensor, "item item"],
    ) -> tuple[Float[Tensor, " item"], Bool[Tensor, " item"]]:
        """Return the violation of each anchor and whether it forms a triplet."""
        formed = positive.any(dim=1) & negative.any(dim=1)
        farthest = distance.where(positive, -math.inf).amax(dim=1).where(formed, 0.0)
        nearest = distance.where(negative, math.inf).amin(dim=1).where(formed, 0.0)
        return farthest - nearest + self.margin, formed


def _squared_distances(embedding: Embedding, *, normalize: bool) -> Float[Tensor, "item item"]:
    """Squared distance between all pairs, as one matrix product at full precision."""
    embedding = embedding.to(torch.promote_types(embedding.dtype, torch.float32))
    if normalize:
        norm = torch.linalg.vector_norm(embedding, dim=1, keepdim=True)
        # Dividing by infinity instead of by zero: nothing goes out and no gradient comes back.
        embedding = embedding / norm.where(norm > 0, math.inf)
    # |x|^2 + |y|^2 - 2xy loses what x and y have in common; distances do not depend on the origin.
    embedding = embedding - embedding.detach().mean(dim=0)
    with torch.autocast(embedding.device.type, enabled=False):
        product = embedding @ embedding.T
    square = product.diagonal()
    return (square[:, None] + square[None, :] - 2 * product).clamp(min=0.0)

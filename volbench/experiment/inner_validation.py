"""Inner validation part of a fold: training patients kept out to pick the checkpoint with."""

from collections.abc import Sequence

from volbench._utils.seeds import derive_seed
from volbench.data.cache.packed_voxels import PreparedCase
from volbench.errors import DataError
from volbench.experiment.stratification import patients_per_class, stratified


def draw_inner_validation(
    cases: Sequence[PreparedCase],
    training: Sequence[int],
    *,
    fraction: float,
    fold: int,
    seed: int,
) -> frozenset[int]:
    """Draw whole patients, each class in the same share.

    Args:
        cases: All cases of the data set.
        training: Which of them the fold may learn from.
        fraction: Share of the patients to keep: one part of as many equal ones as come nearest.
        fold: Number of the fold; each draws its own.
        seed: Of the experiment.

    Returns:
        Those of ``training`` that are kept out of training.

    Raises:
        DataError: a class has a single patient to train on.
    """
    chosen = [cases[index] for index in training]
    parts = min(max(2, round(1 / fraction)), *patients_per_class(chosen).values())
    if parts < 2:
        raise DataError(
            f"fold {fold}: a class has one patient only to train on, so none can be kept to "
            "pick the checkpoint with; use --set selection.checkpoint=last"
        )
    inner = stratified(chosen, parts, derive_seed(seed, "validation", fold))
    return frozenset(training[position] for position, part in enumerate(inner) if part == 0)

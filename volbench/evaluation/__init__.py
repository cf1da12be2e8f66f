"""Evaluation: predictions to items, metrics, strata and statistics."""

from volbench.evaluation.items import Items, Unit, gather, units_of
from volbench.evaluation.score_tables import counts, fold_scores, pooled_scores
from volbench.evaluation.strata import case_groups, strata_of, stratum_scores

__all__ = [
    "Items",
    "Unit",
    "case_groups",
    "counts",
    "fold_scores",
    "gather",
    "pooled_scores",
    "strata_of",
    "stratum_scores",
    "units_of",
]

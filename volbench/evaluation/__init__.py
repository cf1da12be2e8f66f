"""Evaluation: predictions to items, metrics, strata and statistics."""

from volbench._utils.lazy import lazy_attributes

_SOURCES = {
    **dict.fromkeys(("Items", "Unit", "gather", "units_of"), "volbench.evaluation.items"),
    **dict.fromkeys(("counts", "fold_scores", "pooled_scores"), "volbench.evaluation.score_tables"),
    **dict.fromkeys(("case_groups", "strata_of", "stratum_scores"), "volbench.evaluation.strata"),
}
"""Imported when used: scoring a fold needs no tables."""

__getattr__, __dir__ = lazy_attributes(__name__, _SOURCES)

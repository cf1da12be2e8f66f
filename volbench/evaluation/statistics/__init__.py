"""Statistics of comparisons: what may be said of two candidates, and how surely.

Pure functions of arrays; nothing here reads files. One-way traffic: scores of held-out cases go to
:func:`delong` and on to :func:`cross_validated_test` (training again) or :func:`area_test` (these
networks), or to :func:`bootstrap_difference`; scores of folds to :func:`corrected_t_test` and on to
:func:`rope`; p values to :func:`holm`, and those to :func:`verdict` and
:func:`letters`.
"""

from volbench.evaluation.statistics.bootstrap import (
    BootstrapDifference,
    BootstrapInterval,
    bootstrap_difference,
    bootstrap_interval,
)
from volbench.evaluation.statistics.corrected_t_test import (
    ResampledTest,
    corrected_t_test,
    detectable_effect,
)
from volbench.evaluation.statistics.cross_validated import (
    FACTOR,
    CrossValidatedTest,
    PairTest,
    cross_validated_test,
)
from volbench.evaluation.statistics.delong import (
    AreaInterval,
    Areas,
    AreaTest,
    area_test,
    delong,
    delong_interval,
    delong_test,
)
from volbench.evaluation.statistics.multiple_comparisons import (
    Verdict,
    holm,
    holm_matrix,
    indistinguishable,
    letters,
    verdict,
)
from volbench.evaluation.statistics.planning import (
    LARGEST_DIFFERENCE,
    Assumptions,
    PlannedDesign,
    plan_designs,
    power_of_design,
)
from volbench.evaluation.statistics.rope import Rope, rope

__all__ = [
    "FACTOR",
    "LARGEST_DIFFERENCE",
    "AreaInterval",
    "AreaTest",
    "Areas",
    "Assumptions",
    "BootstrapDifference",
    "BootstrapInterval",
    "CrossValidatedTest",
    "PairTest",
    "PlannedDesign",
    "ResampledTest",
    "Rope",
    "Verdict",
    "area_test",
    "bootstrap_difference",
    "bootstrap_interval",
    "corrected_t_test",
    "cross_validated_test",
    "delong",
    "delong_interval",
    "delong_test",
    "detectable_effect",
    "holm",
    "holm_matrix",
    "indistinguishable",
    "letters",
    "plan_designs",
    "power_of_design",
    "rope",
    "verdict",
]

"""Statistics of comparisons: what may be said of two candidates, and how surely.

Pure functions of arrays; nothing here reads files. One-way traffic: scores of folds go to
:func:`corrected_t_test` and on to :func:`rope`; scores of held-out cases to :func:`delong_test` or
:func:`bootstrap_difference`; their p values to :func:`holm`, and those to :func:`verdict` and
:func:`letters`.
"""

from volbench.evaluation.statistics.bootstrap import (
    BootstrapDifference,
    BootstrapInterval,
    bootstrap_difference,
    bootstrap_interval,
)
from volbench.evaluation.statistics.delong import (
    AreaInterval,
    Areas,
    AreaTest,
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
from volbench.evaluation.statistics.resampled import (
    ResampledTest,
    corrected_t_test,
    detectable_effect,
)
from volbench.evaluation.statistics.rope import Rope, rope

__all__ = [
    "AreaInterval",
    "AreaTest",
    "Areas",
    "BootstrapDifference",
    "BootstrapInterval",
    "ResampledTest",
    "Rope",
    "Verdict",
    "bootstrap_difference",
    "bootstrap_interval",
    "corrected_t_test",
    "delong",
    "delong_interval",
    "delong_test",
    "detectable_effect",
    "holm",
    "holm_matrix",
    "indistinguishable",
    "letters",
    "rope",
    "verdict",
]

"""Made-up clinical columns of the phantom: age and sex say nothing of the class, CEA something.

The logarithm of CEA (carcinoembryonic antigen) is normal, a standard deviation higher in T3, which
is an AUC of 0.76; one patient in ten has none. The distance is chosen, not a clinical finding.
"""

import math

import numpy as np

from volbench._utils.seeds import derive_seed
from volbench.datasets.phantom.cohort import Patient

DISTANCE = 1.0
"""Standard deviations between the classes' logarithms of CEA."""

MEDIAN_NG_ML, SPREAD, GAPS = 3.0, 0.7, 0.1


def clinical_columns(seed: int, patient: Patient) -> dict[str, str]:
    """Age in years, sex, and CEA in ng/ml, as a manifest would hold them; empty where missing."""
    rng = np.random.default_rng(derive_seed("phantom", seed, "clinical", patient.index))
    age, log_cea, sex, gap = rng.normal(), rng.normal(), rng.random(), rng.random()
    log_cea += DISTANCE * (patient.label == "T3")
    cea = MEDIAN_NG_ML * math.exp(SPREAD * log_cea)
    return {
        "age": f"{min(90, max(35, round(65 + 9 * age)))}",
        "sex": "female" if sex < 0.4 else "male",
        "cea": "" if gap < GAPS else f"{cea:.1f}",
    }

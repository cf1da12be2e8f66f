"""The phantom's patients: class, scanner and geometry as in Table 1 of Lee et al. (MICCAI 2022).

Version 2 draws every figure independently of the class, from Table 1's moments over both classes.
Version 1 drew them per class and spread them by an additive recurrence (Roberts, 2018, "The
unreasonable effectiveness of quasirandom sequences"). Patients of one class then avoid each other,
so that the nearest neighbour of a patient is of the other class: a leak with its sign reversed.
In both versions the first patients stay the same when more are asked for.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from volbench._utils.seeds import derive_seed
from volbench.datasets.phantom.difficulty import Difficulty

CLASSES = ("T2", "T3")
COHORT_SIZE, COHORT_T2 = 567, 168
DRAW = 2
"""Of version 2's draws 0, 1, 2, ... the first that is balanced (Morgan and Rubin, 2012).

That is: of the default 90 patients no audit row of geometry, site or scanner lies farther than 0.1
from an AUC of 0.5. No voxel and no network was looked at.
"""


@dataclass(frozen=True)
class Lognormal:
    """A lognormal distribution cut at both ends; ``mu`` and ``sigma`` are of the uncut one."""

    mu: float
    sigma: float
    low: float
    high: float

    def quantile(self, fraction: float) -> float:
        """The value below which ``fraction`` of the distribution lies."""
        normal = NormalDist(self.mu, self.sigma)
        low, high = normal.cdf(math.log(self.low)), normal.cdf(math.log(self.high))
        return math.exp(normal.inv_cdf(low + fraction * (high - low)))


# mu and sigma are solved for, so that mean and standard deviation after the cut are Table 1's.
TUMOUR_VOLUME_CM3 = {
    "T2": Lognormal(0.21440351, 1.33963193, 0.3, 60.0),
    "T3": Lognormal(1.71485434, 1.22411171, 0.3, 60.0),
}
SLICE_THICKNESS_MM = {
    "T2": Lognormal(1.12271886, 0.13170285, 1.8, 6.0),
    "T3": Lognormal(1.12512965, 0.13764388, 1.8, 6.0),
}
PIXEL_SPACING_MM = {
    "T2": Lognormal(-0.82651689, 0.15578767, 0.27, 0.75),
    "T3": Lognormal(-0.84075665, 0.15809834, 0.27, 0.75),
}
# Version 2: both classes share one distribution, with the moments of all 567 patients together.
POOLED_TUMOUR_VOLUME_CM3 = Lognormal(1.33158045, 1.35673818, 0.3, 60.0)
POOLED_SLICE_THICKNESS_MM = Lognormal(1.12441473, 0.13592648, 1.8, 6.0)
POOLED_PIXEL_SPACING_MM = Lognormal(-0.83652964, 0.15752872, 0.27, 0.75)
TABLE_PIXELS = 256  # the in-plane size that Table 1's pixel spacing belongs to


@dataclass(frozen=True)
class Scanner:
    """A maker and a field strength, and how many of Table 1's 567 patients were scanned so.

    Attributes:
        gain: Stored value of the signal 1; vendors scale differently.
        gamma: Exponent on the signal; above 1 darkens what is dark already.
        noise: Noise relative to Philips at 3 T.
    """

    vendor: str
    field_strength: str
    patients: int
    gain: float
    gamma: float
    noise: float


# Every 1.5 T scanner of the cohort is a GE Signa; 97 GE patients less 77 at 1.5 T leave 20 at 3 T.
SCANNERS = (
    Scanner("Philips", "3T", 468, gain=900.0, gamma=1.0, noise=1.0),
    Scanner("GE", "1.5T", 77, gain=2200.0, gamma=0.85, noise=1.7),
    Scanner("GE", "3T", 20, gain=2800.0, gamma=0.95, noise=1.0),
    Scanner("Siemens", "3T", 2, gain=500.0, gamma=1.1, noise=0.9),
)
SITES = ("east", "north", "west")

# Powers of the roots of x^2 = x + 1 and x^4 = x + 1: the most even additive recurrences.
_GOLDEN = 0.6180339887498949
_QUARTIC = 0.8191725133961645


@dataclass(frozen=True)
class Patient:
    """All that is known of a patient before anything is rendered.

    Attributes:
        label: T2 (the tumour stays inside the muscularis) or T3 (it breaks through).
        tumour_volume_cm3: Of the whole tumour, of which a short stack shows a part.
        slice_thickness_mm: Also the distance between slices; there is no gap.
        field_of_view_mm: Width and height of every slice.
        slices: How many the stack has.
        deepest: The slices on which the tumour goes deepest: the representative ones.
        version: Of the phantom.
    """

    index: int
    label: str
    scanner: Scanner
    site: str
    tumour_volume_cm3: float
    slice_thickness_mm: float
    field_of_view_mm: float
    slices: int
    deepest: tuple[int, ...]
    version: int = 2

    @property
    def grows_outwards(self) -> bool:
        """Whether the anatomy is drawn with a breach of the wall; in version 2 always."""
        return self.version > 1 or self.label == "T3"

    @property
    def turned_inwards(self) -> bool:
        """Whether what was drawn beyond the wall is moved inside it: a T2 of version 2."""
        return self.version > 1 and self.label == "T2"


def draw_patient(
    seed: int, index: int, *, slices: tuple[int, int], difficulty: Difficulty, version: int = 2
) -> Patient:
    """Draw patient number ``index`` of the endless cohort that ``seed`` names."""
    draw = _draw_by_class if version == 1 else _draw_independently
    return draw(seed, index, slices, difficulty)


def _draw_independently(
    seed: int, index: int, slices: tuple[int, int], difficulty: Difficulty
) -> Patient:
    rng = _generator(seed, f"version 2, draw {DRAW}", index)
    scanner, volume, thickness, spacing = rng.random(4)
    count = int(rng.integers(slices[0], slices[1] + 1))
    return Patient(
        index=index,
        label="T2" if _t2_before(index + 1) > _t2_before(index) else "T3",
        scanner=_scanner(float(scanner)),
        site=_site(rng),
        tumour_volume_cm3=POOLED_TUMOUR_VOLUME_CM3.quantile(float(volume)),
        slice_thickness_mm=round(POOLED_SLICE_THICKNESS_MM.quantile(float(thickness)), 2),
        field_of_view_mm=TABLE_PIXELS * round(POOLED_PIXEL_SPACING_MM.quantile(float(spacing)), 4),
        slices=count,
        deepest=_deepest(rng, count, difficulty),
    )


def _draw_by_class(
    seed: int, index: int, slices: tuple[int, int], difficulty: Difficulty
) -> Patient:
    before = _t2_before(index)
    label = "T2" if _t2_before(index + 1) > before else "T3"
    rank = before if label == "T2" else index - before
    starts = _generator(seed, "starts", label).random(3)
    volume, thickness, spacing = (
        float((start + rank * _QUARTIC**power) % 1) for power, start in enumerate(starts, 1)
    )
    rng = _generator(seed, "patient", index)
    count = int(rng.integers(slices[0], slices[1] + 1))
    return Patient(
        index=index,
        label=label,
        scanner=_scanner((float(_generator(seed, "scanners").random()) + index * _GOLDEN) % 1),
        site=_site(rng),
        tumour_volume_cm3=TUMOUR_VOLUME_CM3[label].quantile(volume),
        slice_thickness_mm=round(SLICE_THICKNESS_MM[label].quantile(thickness), 2),
        field_of_view_mm=TABLE_PIXELS * round(PIXEL_SPACING_MM[label].quantile(spacing), 4),
        slices=count,
        deepest=_deepest(rng, count, difficulty),
        version=1,
    )


def _site(rng: np.random.Generator) -> str:
    return SITES[int(rng.choice(len(SITES), p=(0.3, 0.6, 0.1)))]


def _t2_before(index: int) -> int:
    """How many of the first ``index`` patients are T2: Table 1's ratio, rounded."""
    return (index * COHORT_T2 + COHORT_SIZE // 2) // COHORT_SIZE


def _scanner(fraction: float) -> Scanner:
    patient = fraction * COHORT_SIZE
    for scanner in SCANNERS:
        patient -= scanner.patients
        if patient < 0:
            return scanner
    return SCANNERS[0]


def _deepest(rng: np.random.Generator, count: int, difficulty: Difficulty) -> tuple[int, ...]:
    """Choose adjacent slices, away from the ends of the stack where there is room."""
    number = min(count, 1 + int(rng.choice(3, p=difficulty.deepest_slices)))
    margin = min(1, (count - number) // 2)
    first = int(rng.integers(margin, count - number - margin + 1))
    return tuple(range(first, first + number))


def _generator(*parts: object) -> np.random.Generator:
    return np.random.default_rng(derive_seed("phantom", *parts))

"""The same scan twice: under two spellings of a patient, voxel for voxel, or nearly so."""

from volbench.data.duplicates.exact import equal_pairs
from volbench.data.duplicates.near import similar_pairs, similar_pairs_cached, thumbnail
from volbench.data.duplicates.patients import look_alikes, missing_texts
from volbench.data.duplicates.separated import Pair, names_of, separated

__all__ = [
    "Pair",
    "equal_pairs",
    "look_alikes",
    "missing_texts",
    "names_of",
    "separated",
    "similar_pairs",
    "similar_pairs_cached",
    "thumbnail",
]

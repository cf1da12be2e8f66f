"""Cases whose prepared volumes are equal, voxel for voxel."""

from collections import defaultdict
from itertools import combinations

import numpy as np

from volbench.data.cache.packed_voxels import Prepared
from volbench.data.duplicates.separated import Pair


def equal_pairs(prepared: Prepared) -> list[Pair]:
    """All pairs of equal volumes, by their checksums, and compared where those agree.

    A volume of one value is equal to any other such, and is no copy of it.
    """
    groups: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index, (case, checksum) in enumerate(zip(prepared.cases, prepared.checksums, strict=False)):
        groups[case.slices, checksum.whole].append(index)
    return sorted(
        (one, other)
        for group in groups.values()
        for one, other in combinations(group, 2)
        if np.array_equal(prepared.volume(one), prepared.volume(other))
        and np.ptp(prepared.volume(one).astype(np.float32)) > 0
    )

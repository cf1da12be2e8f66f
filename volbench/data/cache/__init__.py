"""The packed cache: every prepared slice of a data set in one memory-mapped file, with an index."""

from volbench.data.cache.packed_voxels import Prepared, PreparedCase, open_prepared

__all__ = ["Prepared", "PreparedCase", "open_prepared"]

"""Tensor types: the one place where axes get their names and order.

batch     cases in a mini-batch
channel   modalities or sequences (T2w, DWI, ...)
slice     through-plane axis, the coarse one; always the first spatial axis
height    in-plane rows
width     in-plane columns
feature   channels of one token
item      what is predicted: a case, or a slice at slice level
logit     one for two classes, else one per class
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int
from torch import Tensor

Volume: TypeAlias = Float[Tensor, "batch channel slice height width"]
SliceMask: TypeAlias = Bool[Tensor, "batch slice"]
Tokens: TypeAlias = Float[Tensor, "batch slice feature"]
Embedding: TypeAlias = Float[Tensor, "item feature"]
Logits: TypeAlias = Float[Tensor, "item logit"]
Labels: TypeAlias = Int[Tensor, " item"]
Scalar: TypeAlias = Float[Tensor, ""]

Voxels: TypeAlias = Float[np.ndarray, "channel slice height width"]
VoxelMask: TypeAlias = Bool[np.ndarray, "slice height width"]


@dataclass(frozen=True)
class Output:
    """What a classifier computes for a batch."""

    logits: Logits
    embedding: Embedding


@dataclass(frozen=True)
class Scan:
    """One case as read: oriented, through-plane axis first, otherwise untouched.

    Attributes:
        image: Voxels, one channel per sequence.
        spacing_mm: Distance between slices, rows and columns.
        mask: Region of interest, on the image's grid.
        representative: Numbers of the slices that show the finding, counted from 0 along ``image``.
        plane: That of the slices: axial, coronal or sagittal; None if it is not known.
        affine: Index (slice, row, column) to position in mm (right, anterior, superior); None if
            the volume lies nowhere in particular.
        label_extents_mm: Extent across slices, rows and columns of each label of a mask that has
            several.
    """

    image: Voxels
    spacing_mm: tuple[float, float, float]
    mask: VoxelMask | None = None
    representative: tuple[int, ...] = ()
    plane: str | None = None
    affine: Float[np.ndarray, "4 4"] | None = None
    label_extents_mm: Mapping[int, tuple[float, float, float]] = field(
        default_factory=dict[int, tuple[float, float, float]]
    )

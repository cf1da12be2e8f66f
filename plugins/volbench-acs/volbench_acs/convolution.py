"""The ACS convolution (Yang et al., 2021, arXiv:1911.10477): 2D kernels in three orientations."""

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F
from volbench.encoders.packed_slices import Maps, Slices

from volbench_acs.neighbours import Neighbours


def thirds(count: int) -> tuple[int, int, int]:
    """Split channels into axial, coronal and sagittal ones, the first parts the larger.

    >>> thirds(64), thirds(65), thirds(2)
    ((22, 21, 21), (22, 22, 21), (1, 1, 0))
    """
    return (count + 2) // 3, (count + 1) // 3, count // 3


class ACSConvolution(nn.Module):
    r"""A 2D convolution whose kernels lie in three planes; same parameters, same multiplications.

    Of the kernels $W \in \mathbb{R}^{O \times I \times K \times K}$ the first third is used as
    $1 \times K \times K$, in the slice (axial); the second as $K \times 1 \times K$, across slices
    and along rows (coronal); the last as $K \times K \times 1$, across slices and down columns
    (sagittal). Each is centred: zeros are put beyond the edges of the plane and beyond the first
    and the last slice of a volume, half a kernel's worth.

    The stride is that of the 2D convolution, and in-plane only: every slice keeps its place.

    A coronal or sagittal kernel is K kernels of one row, which the slices before, at and after
    meet. So each slice is convolved once with all of them, and what comes out is shifted and
    added: no slice is copied, and the cost is that of the 2D convolution.

    Where the 2D convolution has groups, whole groups are split in place of channels. For depthwise
    convolutions that is the same.

    Args:
        convolution: Whose parameters, stride, dilation and groups are taken over.
        neighbours: Which slices belong together.

    Raises:
        ValueError: it is not centred, or pads with something else than zeros.
    """

    def __init__(self, convolution: nn.Conv2d, neighbours: Neighbours) -> None:
        super().__init__()
        (rows, columns), dilation = convolution.kernel_size, convolution.dilation
        if rows % 2 == 0 or columns % 2 == 0:
            raise ValueError(f"has a kernel of {rows}×{columns}, which has no slice in its middle")
        if rows != columns:
            raise ValueError(f"has a kernel of {rows}×{columns}, which is not square")
        if dilation[0] != dilation[1]:
            raise ValueError(f"has dilation {dilation}, which differs between rows and columns")
        if convolution.padding_mode != "zeros":
            raise ValueError(f"pads with {convolution.padding_mode}, not with zeros")
        half = dilation[0] * (rows // 2)
        if convolution.padding not in ("same", (half, half)):
            raise ValueError(f"pads by {convolution.padding}, not by half a kernel ({half})")
        self.weight = convolution.weight
        self.bias = convolution.bias
        self.stride = convolution.stride
        self.padding = half
        self.dilation = dilation[0]
        self.groups = convolution.groups
        self.neighbours = neighbours

    def forward(self, slices: Slices) -> Maps:
        """Convolve packed slices."""
        maps = torch.cat(
            [
                self._oriented(plane, inputs, weight, groups)
                for plane, (inputs, weight, groups) in enumerate(self._parts(slices))
            ],
            dim=1,
        )
        return maps if self.bias is None else maps + rearrange(self.bias, "o -> o 1 1")

    def _parts(self, slices: Slices) -> list[tuple[Tensor, Tensor, int]]:
        """Inputs, kernels and number of groups of each orientation that has any."""
        weight, groups = self.weight, self.groups
        if groups == 1:
            return [(slices, part, 1) for part in weight.split(thirds(len(weight))) if len(part)]
        split = [count for count in thirds(groups) if count]
        inputs = slices.split([count * weight.shape[1] for count in split], dim=1)
        weights = weight.split([count * len(weight) // groups for count in split])
        return list(zip(inputs, weights, split, strict=True))

    def _oriented(self, plane: int, inputs: Slices, weight: Tensor, groups: int) -> Maps:
        """Convolve in one plane: 0 is axial, 1 coronal, 2 sagittal."""
        if plane == 0:
            return self._convolved(inputs, weight, groups, (self.padding, self.padding))
        pattern = "o i d k -> (o d) i 1 k" if plane == 1 else "o i d k -> (o d) i k 1"
        padding = (0, self.padding) if plane == 1 else (self.padding, 0)
        maps = self._convolved(inputs, rearrange(weight, pattern), groups, padding)
        depth = weight.shape[2]
        by_row = rearrange(maps, "n (o d) h w -> d n o h w", d=depth)
        total = by_row[depth // 2]
        for row in range(depth):
            if row != depth // 2:
                by = self.dilation * (row - depth // 2)
                total = total + self.neighbours.shifted(by_row[row], by)
        return total

    def _convolved(
        self, inputs: Slices, weight: Tensor, groups: int, padding: tuple[int, int]
    ) -> Maps:
        return F.conv2d(
            inputs,
            weight,
            stride=self.stride,
            padding=padding,
            dilation=self.dilation,
            groups=groups,
        )

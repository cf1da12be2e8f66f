import pytest
import torch
from volbench.encoders.packed_slices import plan_packing

from volbench_acs.neighbours import Neighbours


def shifted(lengths, by, *, hidden=None):
    """Slices are numbered from 1 through all volumes; so are the maps they get."""
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    if hidden is not None:
        mask[0, hidden] = False
    volume = torch.zeros(len(lengths), 1, max(lengths), 1, 1)
    volume[mask[:, None]] = torch.arange(1.0, 1 + int(mask.sum()))[:, None, None]
    packing, neighbours = plan_packing(volume, mask), Neighbours()
    with neighbours.of(packing):
        return neighbours.shifted(packing.pack(volume), by).flatten().int().tolist()


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        (0, [1, 2, 3, 4, 5, 6]),
        (1, [2, 3, 0, 0, 6, 0]),
        (-1, [0, 1, 2, 0, 0, 5]),
        (2, [3, 0, 0, 0, 0, 0]),
        (-2, [0, 0, 1, 0, 0, 0]),
        (5, [0] * 6),
        (-7, [0] * 6),
    ],
)
def test_beyond_the_ends_of_a_volume_there_are_zeros(by, expected):
    assert shifted((3, 1, 2), by) == expected


def test_one_volume_does_not_wrap_around():
    assert shifted((4,), 1) == [2, 3, 4, 0]
    assert shifted((4,), -3) == [0, 0, 0, 1]


def test_slices_on_two_sides_of_a_hidden_one_are_strangers():
    assert shifted((5,), 1, hidden=2) == [2, 0, 4, 0]


def test_a_convolution_outside_its_network_is_refused():
    with pytest.raises(AssertionError, match="outside their network"):
        Neighbours().shifted(torch.zeros(1, 1, 1, 1), 1)

import numpy as np
import pytest
import torch

from tests.helpers.small import small_voxels, write_small
from volbench.data.loading.loader import Loader, open_loader


@pytest.fixture
def prepared(tmp_path):
    return write_small(tmp_path / "cache", cases=6)


def test_a_batch_holds_the_cases_and_zeros_behind_them(prepared):
    loader = Loader(prepared, torch.device("cpu"))
    (batch,) = loader.batches([np.array([4, 0])])  # 3 slices each
    assert batch.mask is None
    (padded,) = loader.batches([np.array([0, 3])])  # 3 and 6 slices
    assert padded.mask.tolist() == [[True] * 3 + [False] * 3, [True] * 6]
    for place, index in enumerate((0, 3)):
        expected = small_voxels(prepared.cases[index]).astype(np.float32)
        slices = len(expected)
        found = padded.volume[place, 0].numpy()
        np.testing.assert_array_equal(found[:slices], expected[:, 0])
        assert not found[slices:].any()
    assert padded.labels.tolist() == [0, 1]
    (later,) = loader.batches([np.array([5, 4, 3])])
    assert later.labels.tolist() == [prepared.cases[index].label for index in (5, 4, 3)]


@pytest.mark.parametrize("resident", [True, False])
def test_batches_come_in_order_wherever_the_data_is(prepared, resident):
    loader = Loader(prepared, torch.device("cpu"), resident=resident)
    order = [np.array([index]) for index in (5, 1, 3)]
    assert [int(batch.cases[0]) for batch in loader.batches(order)] == [5, 1, 3]


def test_the_full_mask_of_an_unpadded_batch_is_all_true(prepared):
    (batch,) = Loader(prepared, torch.device("cpu")).batches([np.array([0])])
    assert batch.full_mask().shape == (1, 3)
    assert batch.full_mask().all()


@pytest.mark.gpu
@pytest.mark.parametrize("resident", [True, False])
def test_a_gpu_gets_the_same_batches(prepared, resident):
    order = [np.array([0, 3]), np.array([5]), np.array([1, 2])]
    on_cpu = Loader(prepared, torch.device("cpu")).batches(order)
    on_gpu = Loader(prepared, torch.device("cuda"), resident=resident).batches(order)
    for expected, found in zip(on_cpu, on_gpu, strict=True):
        assert torch.equal(found.volume.cpu(), expected.volume)
        assert torch.equal(found.labels.cpu(), expected.labels)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_the_mask_stays_on_the_host_and_the_full_one_goes_along(prepared, device):
    (batch,) = Loader(prepared, torch.device(device)).batches([np.array([0, 3])])
    assert batch.mask.device.type == "cpu"
    assert batch.full_mask().device == batch.volume.device
    assert torch.equal(batch.full_mask().cpu(), batch.mask)


def test_a_process_opens_a_data_set_once_and_keeps_one_at_a_time(prepared, tmp_path):
    cpu = torch.device("cpu")
    other = write_small(tmp_path / "other", cases=2)
    first = open_loader(prepared, cpu)
    assert open_loader(prepared, cpu) is first
    assert open_loader(other, cpu) is not first
    assert open_loader(prepared, cpu) is not first

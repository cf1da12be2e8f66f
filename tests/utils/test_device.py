import pytest
import torch

from volbench._utils.device import send


def test_a_tensor_that_is_there_already_is_not_copied():
    tensor = torch.arange(3)
    assert send(tensor, "cpu") is tensor


@pytest.mark.gpu
def test_a_copy_to_a_gpu_asks_for_no_wait_and_holds_the_same(no_waiting):
    tensor = torch.arange(6).reshape(2, 3).T
    with no_waiting():
        sent = send(tensor, "cuda")
    assert sent.is_cuda
    assert torch.equal(sent.cpu(), tensor)

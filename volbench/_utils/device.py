"""Asynchronous transfer of tensors from host to device."""

import torch
from jaxtyping import Shaped
from torch import Tensor


def send(tensor: Shaped[Tensor, "*shape"], device: torch.device | str) -> Shaped[Tensor, "*shape"]:
    """Put a tensor on a device; one that is there already comes back as it is.

    A copy to a GPU starts from pinned memory and returns at once. From pageable memory the driver
    may wait for all that the GPU still has to do. The pinned memory is kept until the copy is done.
    """
    if torch.device(device).type == "cuda" and not tensor.is_cuda:
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)

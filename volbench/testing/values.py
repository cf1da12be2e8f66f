"""Check that a component never synchronises with the device by reading tensor values."""

from collections.abc import Callable

import pytest
from torch import Tensor

# Not documented, but what torch.export is built on; tensors of it have shapes and no values.
from torch._subclasses.fake_tensor import FakeTensorMode


def check_asks_for_no_values(call: Callable[..., object], *tensors: Tensor, who: str) -> None:
    """Call with tensors that have no values; whatever needs one fails the test.

    Args:
        call: The code under test.
        tensors: Its arguments.
        who: The component, as it is named in the message.
    """
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        fakes = [mode.from_tensor(tensor) for tensor in tensors]
        try:
            call(*fakes)
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            pytest.fail(
                f"{who}: asks a tensor for its values, as .item(), if, nonzero and x[mask] do; "
                f"use where and masked_fill instead ({reason})"
            )

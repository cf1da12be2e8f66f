import numpy as np
import pytest
import torch

from volbench.errors import SpecError
from volbench.interfaces import Loss, Problem
from volbench.losses.center import Center
from volbench.plugins.registry import losses
from volbench.types import Output

PROBLEM = Problem(class_counts=(5, 5, 5), num_features=4)


@pytest.mark.parametrize(("reduction", "divisor"), [("mean", 7), ("sum", 1)])
def test_value_and_gradients_are_those_of_the_formula(reduction, divisor):
    generator = np.random.default_rng(0)
    x, centers = generator.normal(size=(7, 4)), generator.normal(size=(3, 4))
    labels = np.array([0, 2, 2, 0, 0, 2, 2])  # no case of class 1
    loss = Center(PROBLEM, reduction=reduction).double()
    loss.load_state_dict({"centers": torch.from_numpy(centers)})
    embedding = torch.from_numpy(x).requires_grad_()

    value = loss(Output(torch.zeros(7, 3), embedding), torch.from_numpy(labels))
    value.backward()

    difference = x - centers[labels]
    expected = sum(0.5 * np.linalg.norm(row) ** 2 for row in difference) / divisor
    assert value.item() == pytest.approx(expected)
    np.testing.assert_allclose(embedding.grad.numpy(), difference / divisor)
    pulls = np.stack([-difference[labels == k].sum(axis=0) for k in range(3)]) / divisor
    np.testing.assert_allclose(loss.centers.grad.numpy(), pulls)
    assert not loss.centers.grad[1].any()


def test_centers_start_at_zero_and_are_trained_to_the_class_means():
    x = torch.tensor([[1.0, 0, 0, 0], [3.0, 0, 0, 0], [0, 0, 0, 5.0]])
    labels = torch.tensor([0, 0, 1])
    loss = Center(PROBLEM)
    assert not loss.centers.any()
    optimiser = torch.optim.SGD(loss.parameters(), lr=0.5)
    for _ in range(200):
        optimiser.zero_grad()
        loss(Output(torch.zeros(3, 3), x), labels).backward()
        optimiser.step()
    expected = torch.tensor([[2.0, 0, 0, 0], [0, 0, 0, 5.0], [0, 0, 0, 0]])
    torch.testing.assert_close(loss.centers.detach(), expected)


def test_an_unknown_reduction_is_refused():
    with pytest.raises(SpecError) as caught:
        losses.build("center(reduction='max')", Loss, PROBLEM)
    assert str(caught.value) == (
        "loss center(reduction='max'): reduction must be 'mean' or 'sum', but got reduction='max'"
    )

"""Batches of one class, of one case, with a case drawn twice: finite, and 0 where no pair is."""

import pytest
import torch
from batches import build
from pytorch_metric_learning import losses, miners
from volbench.types import Output

from volbench_metric_learning.library import usable

OF_PAIRS = ("supcon", "ntxent", "multi_similarity", "circle", "contrastive")
NEEDS = {"RankedListLoss": "ranked_list(Tn=1, margin=1)"}


def embeddings():
    drawn = torch.randn(8, 6, generator=torch.Generator().manual_seed(5))
    labels = torch.tensor([0, 0, 1, 1, 2, 2, 0, 1])
    return {
        "one class": (drawn, torch.zeros(8, dtype=torch.int64)),
        "one case": (drawn[:1], labels[:1]),
        "two cases of two classes": (drawn[1:3], labels[1:3]),
        "a case drawn twice": (drawn[[0, 0, 2, 2, 4, 4, 0, 2]], labels),
        "a case of two classes": (drawn[[0, 2, 0, 2, 4, 4, 5, 6]], labels),
        "nothing but zeros": (0 * drawn, labels),
        "all alike": (drawn[:1].repeat(8, 1), labels),
    }


def finite(loss, embedding, labels):
    embedding = embedding.clone().requires_grad_()
    value = loss(Output(torch.zeros(len(labels), 3), embedding), labels)
    value.backward()
    assert value.shape == ()
    assert value.isfinite()
    for leaf in (embedding, *loss.parameters()):
        assert leaf.grad is None or leaf.grad.isfinite().all()
    return value.item()


@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")
@pytest.mark.parametrize("case", embeddings())
@pytest.mark.parametrize("name", usable(losses))
def test_every_loss_is_finite(name, case):
    loss = build(f"metric_learning(loss={NEEDS.get(name, f'{name}()')})")
    finite(loss, *embeddings()[case])


@pytest.mark.parametrize("case", embeddings())
@pytest.mark.parametrize("miner", usable(miners))
@pytest.mark.parametrize("name", ["supcon", "multi_similarity", "arcface", "proxy_anchor"])
def test_every_miner_leaves_it_finite(name, miner, case):
    finite(build(f"metric_learning(loss='{name}', miner='{miner}')"), *embeddings()[case])


@pytest.mark.parametrize("name", OF_PAIRS)
def test_one_case_alone_forms_no_pair_and_gives_zero(name):
    assert finite(build(name), *embeddings()["one case"]) == 0

"""The suites that volbench's own losses pass, with options that change what is done."""

import pytest
from pytorch_metric_learning import losses as library
from volbench.plugins.registry import losses
from volbench.testing import LossContract

from volbench_metric_learning.library import usable

SPECS = (
    "arcface",
    "arcface(margin_degrees=10, scale=8)",
    "circle",
    "circle(gamma=16, margin=0.25, miner='hdc')",
    "contrastive",
    "contrastive(miner=pair_margin(neg_margin=0.5))",
    "cosface",
    "metric_learning",
    "metric_learning(loss=triplet_margin(margin=0.1, swap=True), miner=batch_hard())",
    "multi_similarity",
    "multi_similarity(miner='multi_similarity')",
    "ntxent",
    "ntxent(miner='batch_easy_hard')",
    "proxy_anchor",
    "proxy_nca",
    "soft_triple",
    "soft_triple(centers=2)",
    "supcon",
    "supcon(miner=multi_similarity(epsilon=0.2), temperature=0.5)",
)
NEEDS = {"RankedListLoss": "(Tn=1, margin=1)"}


@pytest.mark.parametrize("spec", SPECS)
class TestLoss(LossContract):
    @pytest.fixture(autouse=True)
    def _spec(self, spec):
        self.spec = spec


@pytest.mark.parametrize("spec", SPECS)
class TestLossOfFourClasses(LossContract):
    num_classes = 4

    @pytest.fixture(autouse=True)
    def _spec(self, spec):
        self.spec = spec


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")
@pytest.mark.parametrize("name", usable(library))
class TestAnyLossOfTheLibrary(LossContract):
    @pytest.fixture(autouse=True)
    def _spec(self, name):
        self.spec = f"metric_learning(loss={name}{NEEDS.get(name, '()')})"


def test_all_that_is_provided_is_under_test():
    provided = {
        name
        for name in losses
        if any(origin.distribution == "volbench-metric-learning" for origin in losses.origins[name])
    }
    assert provided == {spec.partition("(")[0] for spec in SPECS}

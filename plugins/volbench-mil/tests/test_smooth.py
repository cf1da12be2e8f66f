import numpy as np
import pytest
from bags import by_case, draw, pooled, softmax, values
from scipy.special import erf
from volbench.errors import SpecError

from volbench_mil import smooth
from volbench_mil.smooth import SmoothAttention, SmoothTransformer


def smoothed(x, coefficient, steps):
    """The paper's equation 9, on the chain of slices."""
    count = len(x)
    links = (np.abs(np.subtract.outer(np.arange(count), np.arange(count))) == 1).astype(float)
    links = links if count > 1 else np.ones((1, 1))
    degree = links.sum(1)
    links /= np.sqrt(np.outer(degree, degree))
    laplacian, alpha, g = np.eye(count) - links, 1 / (1 + coefficient), x
    for _ in range(steps):
        g = alpha * (np.eye(count) - laplacian) @ g + (1 - alpha) * x
    return g


@pytest.mark.parametrize("where", ["early", "mid", "late"])
def test_values_are_those_of_the_equations(where):
    pytest.importorskip("torchmil")
    tokens, mask = draw()
    aggregator = SmoothAttention(6, hidden=5, where=where, steps=3)
    own = values(aggregator)

    def formula(case):
        def sm(x, here):
            return smoothed(x, own["pool.sm.sm.coef"], 3) if here == where else x

        case = sm(case, "early")
        hidden = sm(case @ own["pool.proj1.weight"].T + own["pool.proj1.bias"], "mid")
        scores = hidden * 0.5 * (1 + erf(hidden / np.sqrt(2))) @ own["pool.proj2.weight"].T
        return softmax(sm(scores, "late")[:, 0]) @ case

    found = pooled(aggregator, tokens, mask)
    np.testing.assert_allclose(found, by_case(formula, tokens, mask), rtol=1e-7)


def test_slices_beside_a_hidden_one_are_neighbours():
    pytest.importorskip("torchmil")
    tokens, mask = draw((5,))
    mask[0, 2] = False
    for aggregator in (SmoothAttention(6), SmoothTransformer(6, hidden=8)):
        whole = pooled(aggregator, tokens, mask)
        without = pooled(aggregator, tokens[:, mask[0]], mask[:, mask[0]])
        np.testing.assert_allclose(whole, without, rtol=1e-9)


def test_the_order_of_slices_matters():
    pytest.importorskip("torchmil")
    tokens, mask = draw((6,))
    for aggregator in (SmoothAttention(6), SmoothTransformer(6, hidden=8)):
        forwards = pooled(aggregator, tokens, mask)
        shuffled = pooled(aggregator, tokens[:, [3, 0, 5, 1, 4, 2]], mask)
        assert np.abs(forwards - shuffled).max() > 1e-6


@pytest.mark.parametrize("aggregator", [SmoothAttention, SmoothTransformer])
def test_without_torchmil_a_line_says_how_to_install_it(aggregator, monkeypatch):
    monkeypatch.setattr(smooth, "find_spec", lambda name: None)
    with pytest.raises(SpecError, match=r"needs torchmil; install it: pip install 'volbench-mil"):
        aggregator(6)

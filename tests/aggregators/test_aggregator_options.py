import pytest
import torch

from volbench.aggregators.average import Average
from volbench.aggregators.position_average import PositionAverage
from volbench.errors import SpecError
from volbench.interfaces import Aggregator
from volbench.plugins.registry import aggregators


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("gated_attention(hidden=0)", "hidden must be at least 1, but got hidden=0"),
        ("transformer(layers=0)", "layers must be at least 1, but got layers=0"),
        (
            "transformer(heads=3, width=8)",
            "width must be a multiple of heads, but got width=8, heads=3",
        ),
        ("transformer(dropout=1)", "dropout must be from 0 to below 1, but got dropout=1"),
        ("transformer(pool='max')", "pool must be 'class' or 'mean', but got pool='max'"),
        (
            "transformer(positions='rotary')",
            "positions must be 'sinusoidal' or 'learned' or 'none', but got positions='rotary'",
        ),
    ],
)
def test_an_option_out_of_range_is_refused_in_one_line(spec: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        aggregators.build(spec, Aggregator, 6)
    assert str(caught.value).endswith(message)
    assert "\n" not in str(caught.value)


def test_a_position_average_starts_as_the_mean_and_can_learn_to_look_at_one_end() -> None:
    tokens, mask = torch.randn(2, 9, 4), torch.arange(9) < torch.tensor([[9], [5]])
    aggregator = PositionAverage(4)
    torch.testing.assert_close(aggregator(tokens, mask), Average(4)(tokens, mask))
    with torch.no_grad():
        aggregator.places.table.copy_(torch.arange(16.0)[:, None] * 20)
    torch.testing.assert_close(
        aggregator(tokens, mask), torch.stack([tokens[0, 8], tokens[1, 4]]), rtol=1e-3, atol=1e-3
    )

import pytest
from volbench.errors import SpecError
from volbench.interfaces import Aggregator
from volbench.plugins.registry import aggregators


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("log_sum_exp(r=0)", "r must be a finite number above 0, but got r=0"),
        ("gem(p=-1)", "p must be a finite number above 0, but got p=-1"),
        ("gem(eps=0)", "eps must be a finite number above 0, but got eps=0"),
        ("lstm(hidden=-2)", "hidden must be at least 1, but got hidden=-2"),
        ("sm_attention(steps=0)", "steps must be at least 1, but got steps=0"),
        (
            "sm_transformer(heads=3)",
            "hidden must be a multiple of heads, but got hidden=128 and heads=3",
        ),
    ],
)
def test_an_option_out_of_range_is_refused_in_one_line(spec, message):
    with pytest.raises(SpecError) as caught:
        aggregators.build(spec, Aggregator, 6)
    assert str(caught.value).endswith(message)
    assert "\n" not in str(caught.value)

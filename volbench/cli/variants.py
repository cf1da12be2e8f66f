"""Options that make several runs of one command: repeats, seeds, shares; and permuted labels."""

from collections.abc import Callable
from typing import TypeVar

import click

MOST = 1000
"""Runs of one command; each takes all its folds, so that more is a slip."""

Function = TypeVar("Function", bound=Callable[..., None])


class Shares(click.ParamType[tuple[float, ...]]):
    """Shares above 0 and at most 1, with commas between."""

    name = "shares"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        """Read what was typed."""
        if isinstance(value, tuple):
            return value
        try:
            shares = tuple(float(share) for share in str(value).split(","))
        except ValueError:
            shares = ()
        if not shares or not all(0 < share <= 1 for share in shares):
            self.fail(
                f"{value!r} is not a list of shares above 0 and at most 1, as in 0.25,0.5,1.",
                param,
                ctx,
            )
        return shares


def variant_options(function: Function) -> Function:
    """Add ``--repeats``, ``--seeds``, ``--train-share`` and ``--permute-labels``."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


_OPTIONS: tuple[Callable[[Function], Function], ...] = (
    click.option(
        "--repeats",
        type=click.IntRange(1, MOST),
        default=1,
        show_default=True,
        metavar="N",
        help="Divisions into folds, a run with the next seed for each; then compare --repeats.",
    ),
    click.option(
        "--seeds",
        type=click.IntRange(1, MOST),
        default=1,
        show_default=True,
        metavar="N",
        help="Training seeds on the same folds, a run for each; then compare --repeats.",
    ),
    click.option(
        "--train-share",
        "shares",
        type=Shares(),
        default="1",
        show_default=True,
        metavar="SHARE,...",
        help="Share of the training patients to learn from; several, e.g. 0.25,0.5,1: a learning "
        "curve, a run for each.",
    ),
    click.option(
        "--permute-labels",
        "permuted",
        is_flag=True,
        help="Exchange labels between patients: a check of data and code, which must give chance.",
    ),
)

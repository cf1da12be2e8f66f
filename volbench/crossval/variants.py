"""Variants of a run: repeats of its folds, several seeds on the same folds, shares of patients."""

from collections.abc import Sequence
from dataclasses import dataclass

from volbench.errors import UsageError

RANDOM = "random("


@dataclass(frozen=True)
class Variant:
    """One of several runs that are made of one command.

    Attributes:
        seed: Of training, and of the folds unless they have one of their own.
        folds_seed: Of the folds; None means that of training.
        train_share: Share of the patients to learn from.
        suffix: What a given name ends in; nothing for the first one.
    """

    seed: int
    folds_seed: int | None = None
    train_share: float = 1.0
    suffix: str = ""

    @property
    def main(self) -> bool:
        """Whether it is what a command without variants runs."""
        return not self.suffix

    def named(self, name: str, *, given: bool) -> str:
        """Name of its folder; one that was not given names the experiment, and so the variant."""
        return f"{name}{self.suffix}" if given else name


MAIN = Variant(0)
"""The only run of a command that asks for no variants, its seed counted from the command's."""


def variants(
    *, seed: int, folds: str, repeats: int, seeds: int, train_shares: Sequence[float]
) -> list[Variant]:
    """List the runs that a command asks for; each one is a folder of its own, and is resumed so.

    Args:
        seed: Of the first one.
        folds: What ``--folds`` says.
        repeats: Divisions into folds, each with the next seed.
        seeds: Seeds of training on the folds of the first one.
        train_shares: Shares of the patients of each training part.

    Raises:
        UsageError: more than one of these is asked for, or the folds are not drawn, so that all
            repeats would have the same ones.
    """
    asked = [repeats > 1, seeds > 1, len(train_shares) > 1]
    if sum(asked) > 1:
        raise UsageError(
            "--repeats, --seeds and several shares of --train-share ask different questions; give "
            "one of them at a time"
        )
    if repeats > 1 and folds.startswith(RANDOM):
        raise UsageError(f"--repeats {repeats}: of --folds {folds} ask for more splits instead")
    if repeats > 1 and not folds.isdecimal():
        raise UsageError(
            f"--repeats {repeats}: the folds of --folds {folds} are not drawn, so every repeat "
            f"would have the same ones; --seeds {repeats} trains on them with several seeds"
        )
    if len(set(train_shares)) < len(train_shares):
        raise UsageError("--train-share: a share is named twice")
    kind = "repeat" if repeats > 1 else "seed"
    return [
        Variant(
            seed + number,
            folds_seed=seed if seeds > 1 else None,
            train_share=share,
            suffix=_suffix(kind, number, share),
        )
        for share in train_shares
        for number in range(max(repeats, seeds))
    ]


def _suffix(kind: str, number: int, share: float) -> str:
    """End of a name: the same for a variant alone and among more of them, which keep it then.

    >>> _suffix("repeat", 2, 1.0), _suffix("seed", 0, 0.25), _suffix("seed", 0, 1.0)
    ('-repeat3', '-share0.25', '')
    """
    shared = f"-share{share:g}" if share != 1 else ""
    return f"{shared}-{kind}{number + 1}" if number else shared

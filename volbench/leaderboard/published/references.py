"""Published references by name."""

from volbench._utils.text import suggestion
from volbench.errors import UsageError
from volbench.leaderboard.published.base import Reference
from volbench.leaderboard.published.lee2022 import Rectal2022
from volbench.leaderboard.published.medmnist3d import MedMNIST3D

REFERENCES: dict[str, type[Reference]] = {kind.name: kind for kind in (MedMNIST3D, Rectal2022)}


def reference_names() -> list[str]:
    """Names of the references that come with volbench."""
    return sorted(REFERENCES)


def load_reference(name: str) -> Reference:
    """Load published results by name.

    Raises:
        UsageError: there are none of this name.
    """
    if name not in REFERENCES:
        raise UsageError(f"unknown --reference {name!r}; {suggestion(name, reference_names())}")
    return REFERENCES[name]()

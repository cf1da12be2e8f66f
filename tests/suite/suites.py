"""Suite files for tests, on a prepared data set that trains in a second."""

from pathlib import Path

from tests.helpers.small import write_small

SETTINGS = """
title = "Small"
folds = 2
set = ["training.epochs=1"]
"""

GRID = """
[[table]]
title = "Encoders"
level = "slice"
encoder = ["r2d(width=2)", "rmc5(width=2)"]
loss = "focal"

[[table]]
title = "Losses"
level = "slice"
encoder = "rmc5(width=2)"
loss = ["focal", "focal+triplet"]

[[table]]
title = "Pooling"
encoder = "rmc5(width=2)"
aggregator = ["average", "max"]
loss = "focal+triplet"
"""

CANDIDATES = 5
"""Six rows, one of which two tables share."""


def write_suite(folder: Path, text: str, *, name: str = "suite.toml", cases: int = 12) -> Path:
    """Write a suite file beside its data; ``text`` follows the settings."""
    if not (folder / "data").exists():
        write_small(folder / "data", cases=cases)
    path = folder / name
    path.write_text(f'data = "data"\n{SETTINGS}{text}', encoding="utf-8")
    return path

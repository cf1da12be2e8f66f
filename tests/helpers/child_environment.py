"""Variables of programs that tests start: they import the tree that the tests stand in.

Whatever volbench is installed, and wherever the program is started. ``tests/conftest.py`` puts the
tree in front for all that inherit its variables.
"""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def child_environment(*folders: Path, **variables: str) -> dict[str, str]:
    """Variables of this process, and more folders to import from behind the tree itself."""
    inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    others = [part for part in inherited if part not in ("", str(ROOT))]
    path = os.pathsep.join(map(str, (ROOT, *folders, *others)))
    return {**os.environ, **variables, "PYTHONPATH": path}

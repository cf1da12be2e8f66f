"""Plant one fault at a time in a copy of the package, and see whether the tests notice.

    python -m tests.mutants.run                    all that are not known yet
    python -m tests.mutants.run --only sampler     those whose file, text or reason has the word
    python -m tests.mutants.run --shard 1/4        every fourth

Results are kept in a file, so that a run that was stopped goes on; an entry is run again when its
source or one of its tests has changed. Each runs in a forked child of a process that has imported
the libraries, but nothing of volbench.
"""

import argparse
import contextlib
import hashlib
import importlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import tomllib
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIST = Path(__file__).with_name("mutants.toml")
LIBRARIES = (
    *("numpy", "scipy.stats", "pandas", "sklearn.model_selection", "sklearn.ensemble", "torch"),
    *("SimpleITK", "nibabel", "torchio", "matplotlib.figure", "pydantic", "click", "rich.console"),
    *("safetensors.torch", "einops", "statsmodels.api"),
)
COPIED = ("volbench", "tests", "docs", "benchmarks", "plugins", "pyproject.toml", "README.md")
CAUGHT, SURVIVED, HUNG, BROKEN = "caught", "survived", "hung", "broken"
_end_process = os._exit  # a fault may leave another function in its place


@dataclass(frozen=True)
class Mutant:
    """One fault.

    Attributes:
        file: Relative to the root of the project.
        old: Text that occurs exactly once in it.
        new: What stands there instead.
        why: What would go wrong.
        tests: What should notice: arguments of pytest.
    """

    file: str
    old: str
    new: str
    why: str
    tests: tuple[str, ...]

    @property
    def key(self) -> str:
        """Identify the fault, its source and its tests as they are."""
        paths = [ROOT / name for name in sorted({test.partition("::")[0] for test in self.tests})]
        tests = [
            each
            for path in paths
            for each in (sorted(path.rglob("*.py")) if path.is_dir() else [path])
        ]
        content = [path.read_text(encoding="utf-8") for path in (ROOT / self.file, *tests)]
        text = json.dumps([self.old, self.new, self.tests, *content])
        return hashlib.sha256(text.encode()).hexdigest()[:20]

    def plant(self, root: Path) -> str:
        """Change the file under ``root``; return what it was."""
        path = root / self.file
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace(self.old, self.new), encoding="utf-8")
        return text


def read_mutants(path: Path = LIST) -> list[Mutant]:
    """Read the list; ``¶`` stands for the end of a line."""
    groups = tomllib.loads(path.read_text(encoding="utf-8"))["group"]
    return [
        Mutant(
            file=group["file"],
            old=fault["old"].replace("¶", "\n"),
            new=fault["new"].replace("¶", "\n"),
            why=fault["why"],
            tests=tuple(fault.get("tests", group["tests"])),
        )
        for group in groups
        for fault in group["faults"]
    ]


def main() -> int:
    """Run the command; 1 if less than 95 of a hundred are caught."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="a word in file, text or reason")
    parser.add_argument("--shard", default="1/1", help="which part, such as 2/4")
    parser.add_argument("--results", type=Path, default=ROOT / ".mutants.json")
    parser.add_argument("--limit", type=float, default=300.0, help="seconds for each")
    parser.add_argument("--again", action="store_true", help="run survivors again")
    options = parser.parse_args()
    part, parts = map(int, options.shard.split("/"))
    chosen = [
        mutant
        for number, mutant in enumerate(read_mutants())
        if number % parts == part - 1 and options.only in f"{mutant.file} {mutant.old} {mutant.why}"
    ]
    known = json.loads(options.results.read_text()) if options.results.exists() else {}
    if options.again:
        known = {key: kind for key, kind in known.items() if kind == CAUGHT}
    keys = {mutant: mutant.key for mutant in chosen}  # of the files as they are copied now
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # a timeout leaves no copy behind
    for name in LIBRARIES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    with _copy() as root:
        for mutant, key in keys.items():
            if key in known:
                continue
            began = time.monotonic()
            known[key] = try_mutant(mutant, root, limit_s=options.limit)
            _keep(options.results, key, known[key])
            took = time.monotonic() - began
            print(f"{known[key]:9}{took:5.1f} s  {mutant.file}: {mutant.why}", flush=True)
    return report([(mutant, known[key]) for mutant, key in keys.items()])


def report(found: list[tuple[Mutant, str]]) -> int:
    """Print what was not caught, and how much was."""
    for mutant, kind in found:
        if kind not in (CAUGHT, HUNG):
            print(f"{kind}: {mutant.file}: {mutant.why}\n    {mutant.old}\n    {mutant.new}")
    counts = Counter(kind for _, kind in found)
    caught = counts[CAUGHT] + counts[HUNG]
    share = caught / max(1, len(found))
    print(f"{len(found)} faults: {dict(counts)}; {100 * share:.1f} % caught")
    return int(share < 0.95)


def try_mutant(mutant: Mutant, root: Path, *, limit_s: float) -> str:
    """Plant one, run its tests, and put the file back."""
    before = mutant.plant(root)
    try:
        code = _tests_in_child(mutant.tests, root, limit_s)
    finally:
        (root / mutant.file).write_text(before, encoding="utf-8")
    if code is None:
        return HUNG
    kind = {0: SURVIVED, 3: BROKEN, 4: BROKEN, 5: BROKEN}.get(code, CAUGHT)
    if kind == BROKEN:
        print(*(root / ".out").read_text().splitlines()[-5:], sep="\n")
    return kind


def _tests_in_child(tests: tuple[str, ...], root: Path, limit_s: float) -> int | None:
    """Exit code of pytest; None if it took too long."""
    done = root / ".done"  # a fault may end the process with 0 before the tests have ended
    done.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        sys.stdout = sys.stderr = (root / ".out").open("w")
        os.dup2(sys.stdout.fileno(), 1)
        os.dup2(sys.stdout.fileno(), 2)
        code = 3
        try:
            code = _run_tests(tests, root)
            (root / ".done").write_text("")
        except BaseException:
            traceback.print_exc()
        finally:  # nothing of the parent's is to be cleaned up here
            sys.stdout.flush()
            _end_process(code)
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return code if code or done.exists() else 1
        time.sleep(0.05)
    with contextlib.suppress(OSError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def _run_tests(tests: tuple[str, ...], root: Path) -> int:
    import pytest

    os.chdir(root)
    os.environ["PYTHONPATH"] = str(root)
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    sys.dont_write_bytecode = True
    sys.path[:] = [str(root), *(path for path in sys.path if path not in ("", str(ROOT)))]
    for name in [name for name in sys.modules if name.partition(".")[0] in ("tests", "volbench")]:
        del sys.modules[name]
    # Without the types that the suite checks at run time: what only a type notices was not tested.
    options = ["-o", "addopts=--doctest-modules --strict-markers", "-m", "not slow"]
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # of what is imported already
    return int(pytest.main(["-q", "-x", "-p", "no:cacheprovider", *options, *tests]))


@contextlib.contextmanager
def _copy() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="volbench-mutants-") as folder:
        root = Path(folder)
        ignored = shutil.ignore_patterns("__pycache__", ".?*", "_build")
        for name in COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, root / name, ignore=ignored)
            else:
                shutil.copy(ROOT / name, root / name)
        yield root


def _keep(path: Path, key: str, kind: str) -> None:
    """Add a result to the file, beside those that other shards have added meanwhile."""
    import fcntl

    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        there = json.loads(path.read_text()) if path.exists() else {}
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps({**there, key: kind}, indent=0))
        temporary.replace(path)


if __name__ == "__main__":
    sys.exit(main())

"""Run the contract tests on installed components, with one line of result each.

Each suite runs in a process of its own making, so that a component that ends, hangs or spoils its
process is a failed component and nothing more.
"""

import inspect
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

from volbench._utils.subprocesses import Answer, run_in_subprocess, serve
from volbench._utils.text import nearest
from volbench.errors import PluginError, UnknownComponentError, UsageError
from volbench.plugins.import_check import Trial, try_imports
from volbench.plugins.registry import REGISTRIES, Registry
from volbench.spec import Spec, parse
from volbench.testing import CONTRACTS

LIMIT_S = 1200.0
"""Seconds after which a suite is given up."""

TEST_FILE = """from volbench.testing import {contract}


class TestComponent({contract}):
    spec = {spec!r}
    import_seconds = {import_seconds!r}
"""


DOCUMENTATION = "test_says_what_it_is_and_where_it_is_from"
"""The test of what a component says of itself: told last, as it hides nothing that fails."""


@dataclass(frozen=True)
class Target:
    """A component to check: a key of ``registry.REGISTRIES``, a spec, and who provides it."""

    kinds: str
    spec: Spec
    provider: str
    problem: str = ""

    @property
    def kind(self) -> str:
        """What one such component is called."""
        return REGISTRIES[self.kinds].kind


@dataclass(frozen=True)
class Result:
    """What a suite said.

    Attributes:
        target: Of which component.
        passed: Tests passed.
        failed: Tests failed.
        skipped: Tests that could not be made here.
        message: The first failure in one line, or why nothing was tested.
        failures: All of them, a line each, without repetition; what its text lacks comes last.
    """

    target: Target
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    message: str = ""
    failures: tuple[str, ...] = ()


def find_targets(texts: Sequence[str] = (), *, built_in: bool = False) -> list[Target]:
    """The components to check: those named, or all that come from plugins.

    Args:
        texts: Names or specs; a name of two kinds stands for both.
        built_in: Without names, volbench's own too.

    Raises:
        SpecError: a text is no spec.
        UnknownComponentError: no component has the name.
    """
    if texts:
        return [target for text in texts for target in _named(parse(text))]
    return [
        _target(kinds, Spec(name), str(origin))
        for kinds, registry in REGISTRIES.items()
        for name in registry
        for origin in registry.origins.get(name, ())
        if built_in or not origin.is_built_in
    ]


def check(targets: Sequence[Target], *, import_seconds: float = 15.0) -> Iterator[Result]:
    """Run the suite of each; results come in the order of the targets.

    Args:
        targets: From ``find_targets``.
        import_seconds: How long importing a component may take.

    Raises:
        UsageError: pytest is not installed.
    """
    if find_spec("pytest") is None:
        raise UsageError("the suites need pytest; install it with: pip install 'volbench[test]'")
    sound = [target for target in targets if not target.problem]
    trials = try_imports([REGISTRIES[t.kinds].origin(t.spec.name) for t in sound])
    tasks: list[Answer] = [
        {
            "kinds": target.kinds,
            "spec": str(target.spec),
            "import_seconds": import_seconds,
            "trial": asdict(trial),
        }
        for target, trial in zip(sound, trials, strict=True)
    ]
    answers = run_in_subprocess("volbench.testing.run", tasks, limit_s=LIMIT_S)
    for target in targets:
        if target.problem:
            yield _broken(target, target.problem)
            continue
        _, answer = next(answers)
        if died := answer.get("died"):
            yield _broken(target, died)
        else:
            yield Result(target, **{**answer, "failures": tuple(answer.get("failures", ()))})


def _broken(target: Target, message: str) -> Result:
    return Result(target, failed=1, message=message, failures=(message,))


def _named(spec: Spec) -> list[Target]:
    found = [kinds for kinds, registry in REGISTRIES.items() if spec.name in registry]
    if not found:
        near = nearest(spec.name, [name for registry in REGISTRIES.values() for name in registry])
        hint = f"Did you mean {near!r}?" if near else "`volbench list` shows what is installed."
        raise UnknownComponentError(f"Unknown component {spec.name!r}. {hint}")
    return [
        _target(kinds, spec, provider)
        for kinds in found
        for provider in _providers(REGISTRIES[kinds], spec.name)
    ]


def _providers(registry: Registry, name: str) -> list[str]:
    """Everybody who provides a name, so that one that is taken from somebody is told of."""
    origins = registry.origins.get(name, ())
    return [str(origin) for origin in origins] or [registry.provider(name)]


def _target(kinds: str, spec: Spec, provider: str) -> Target:
    """A name that is not its provider's to use cannot be checked."""
    if spec.name not in REGISTRIES[kinds].origins:
        return Target(kinds, spec, provider, problem="is not installed; install it to check it")
    try:
        used = str(REGISTRIES[kinds].origin(spec.name))
    except PluginError as error:
        return Target(kinds, spec, provider, problem=str(error))
    problem = f"has the name of that of {used}, which is used instead; rename it"
    return Target(kinds, spec, provider, problem="" if used == provider else problem)


def main(pipe: int) -> None:
    """Serve ``check``."""
    serve(pipe, _run_suite)


def _run_suite(task: Answer) -> Answer:
    import pytest

    from volbench.testing.component import TRIED

    registry, spec = REGISTRIES[task["kinds"]], parse(task["spec"])
    trial = Trial(**task["trial"])
    if trial.error:
        return _failed(trial.error)
    TRIED[registry.origin(spec.name).entry] = trial
    try:
        missing = _missing(registry, spec)
    except PluginError as error:
        return _failed(str(error))
    if missing:
        example = f"{spec.name}({', '.join(f'{name}=...' for name in missing)})"
        return {"message": f"not tested: give a spec with {example}"}
    tally = _Tally()
    with tempfile.TemporaryDirectory(prefix="volbench-check-") as folder:
        (Path(folder) / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
        test = Path(folder) / f"test_{spec.name}.py"
        text = TEST_FILE.format(
            contract=CONTRACTS[task["kinds"]],
            spec=task["spec"],
            import_seconds=task["import_seconds"],
        )
        test.write_text(text, encoding="utf-8")
        options = ["-q", "--import-mode=importlib", "-p", "no:cacheprovider", "--rootdir", folder]
        code = pytest.main([*options, "-c", f"{folder}/pytest.ini", str(test)], plugins=[tally])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        tally.fail("stops the suite as Ctrl-C would; raise no KeyboardInterrupt")
    return {
        "passed": tally.passed,
        "failed": tally.failed,
        "skipped": tally.skipped,
        "message": next(iter(tally.failures), ""),
        "failures": tally.failures,
    }


def _failed(message: str) -> Answer:
    return {"failed": 1, "message": message, "failures": [message]}


def _missing(registry: Registry, spec: Spec) -> list[str]:
    """Options without a default that a spec does not set."""
    return [
        parameter.name
        for parameter in registry.signature(spec.name).parameters.values()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
        and parameter.default is inspect.Parameter.empty
        and parameter.name not in spec.kwargs
    ]


class _Tally:
    """Counts what pytest reports; a plugin of pytest's."""

    def __init__(self) -> None:
        self.passed = self.failed = self.skipped = 0
        self._said: dict[str, bool] = {}

    @property
    def failures(self) -> list[str]:
        """Messages; those about its documentation after those about what it does."""
        return sorted(self._said, key=lambda message: self._said[message])

    def fail(self, message: str, *, of_text: bool = False) -> None:
        self.failed += 1
        self._said.setdefault(message, of_text)

    def pytest_collectreport(self, report: object) -> None:
        if getattr(report, "failed", False):
            self.fail(_first_line(report))

    def pytest_runtest_logreport(self, report: object) -> None:
        outcome, when = getattr(report, "outcome", ""), getattr(report, "when", "")
        if outcome == "failed":
            about = getattr(report, "nodeid", "")
            self.fail(_first_line(report), of_text=about.endswith(DOCUMENTATION))
        elif outcome == "skipped":
            self.skipped += 1
        elif when == "call":
            self.passed += 1


def _first_line(report: object) -> str:
    """What the failed assertion says, without pytest's and Python's names for it."""
    longrepr = getattr(report, "longrepr", "")
    crash = getattr(longrepr, "reprcrash", None)
    lines = str(crash.message if crash else longrepr).strip().splitlines()
    text = lines[0] if lines else "failed without a word"
    for kind in ("AssertionError: ", "Failed: ", "volbench.errors."):
        text = text.removeprefix(kind)
    return text

"""Contract tests common to all kinds of components."""

import copy
import inspect
import re
import sys
from importlib.metadata import EntryPoint
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from volbench.plugins.discovery import Origin, installed
from volbench.plugins.import_check import Trial, try_imports
from volbench.plugins.isolation import isolated
from volbench.plugins.registry import REGISTRIES, Factory, Registry
from volbench.plugins.signatures import declared_search_space
from volbench.spec import parse

SOURCE = re.compile(r"\b(19|20)\d\d\b|\barXiv:|\bdoi:|https?://|^\s*Source:", re.I | re.M)


class ComponentContract:
    """What every component must do.

    Attributes:
        spec: The component under test, as on the command line.
        import_seconds: How long importing it may take, PyTorch and volbench itself left aside.
    """

    spec: str
    import_seconds: float = 15.0

    registry: ClassVar[Registry]
    context: ClassVar[int] = 1
    """How many arguments come before the options: channels, features, the problem."""

    def build(self, *, seed: int) -> Any:
        """Build ``spec`` from a seed."""
        raise NotImplementedError

    def use(self, component: Any) -> object:
        """Make it do its work once."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        """The name that ``spec`` begins with."""
        return parse(self.spec).name

    def number(self, value: "Tensor") -> "Tensor":
        """Assert that every element is a number before it is compared: NaN equals nothing."""
        assert value.isfinite().all(), self.says(
            f"gives {'NaN' if value.isnan().any() else 'infinity'} where a number is expected"
        )
        return value

    def says(self, problem: str) -> str:
        """A message that names the component."""
        return f"{self.registry.kind} {self.spec}: {problem}"

    def test_says_what_it_is_and_where_it_is_from(self) -> None:
        """``volbench list`` and ``volbench info`` show it, and a paper has to cite it."""
        factory = self.registry[self.name]
        assert (inspect.getdoc(factory) or "").strip(), self.says(
            "has no docstring; its first line is what `volbench list` shows"
        )
        assert SOURCE.search(_documentation(factory)), self.says(
            "neither its docstring nor its module's says where it is from; name the paper with "
            "its year, arXiv number or DOI, or write a line 'Source: ...'"
        )

    def test_its_options_are_named_and_have_plain_defaults(self) -> None:
        """A spec names every option, and its text must be able to say what a default says."""
        parameters = list(self.registry.signature(self.name).parameters.values())
        options = parameters[self.context :]
        positional = [p.name for p in options if p.kind is not p.KEYWORD_ONLY]
        assert not positional, self.says(
            f"takes {', '.join(positional)} by position; put a * before the options and leave out "
            "*args and **kwargs"
        )
        for option in options:
            plain = isinstance(option.default, bool | int | float | str | tuple | None)
            assert plain or option.default is option.empty, self.says(
                f"the default of {option.name} is {option.default!r}, which no spec can say; use "
                "a number, text, True, False, None or a tuple"
            )

    def test_its_search_space_can_be_read(self) -> None:
        """``volbench tune`` takes it at its word."""
        try:
            declared_search_space(self.registry[self.name])
        except ValueError as error:
            pytest.fail(self.says(str(error)))

    def test_importing_it_is_quick_and_leaves_the_process_alone(self) -> None:
        """Import it in a process of its own, as `volbench run` does."""
        if self.name not in self.registry.origins:
            pytest.skip("not installed, but added in this process")
        origin = self.registry.origin(self.name)
        trial = _trial(origin)
        assert trial.error is None, self.says(f"cannot be imported anew: {trial.error}")
        assert not trial.offences, self.says(f"when imported, {'; '.join(trial.offences)}")
        assert trial.seconds <= self.import_seconds, self.says(
            f"takes {trial.seconds:.1f} s to import, more than {self.import_seconds:g} s; import "
            "what is heavy where it is used"
        )

    def test_building_and_using_it_leave_the_process_alone(self) -> None:
        """It shares the process with everything else: standard output, generators, settings."""
        component = self.build(seed=0)
        offences = self.registry.offences[self.name]
        assert not offences, self.says(f"when built, {'; '.join(offences)}")
        with isolated() as seen:
            self.use(component)
        assert not seen.offences, self.says(f"when used, {'; '.join(seen.offences)}")

    def test_building_it_does_not_reseed(self) -> None:
        """Otherwise every seed of an experiment would give the same weights and batches."""
        states = []
        for seed in (1, 2):
            self.build(seed=seed)
            states.append(torch.get_rng_state())
        assert not torch.equal(*states), self.says(
            "calls torch.manual_seed when it is built; leave seeding to volbench"
        )


class ComputingContract(ComponentContract):
    """What every component must do that turns tensors into tensors."""

    def inputs(self, device: str = "cpu") -> tuple[Tensor, ...]:
        """A small padded batch, always the same."""
        raise NotImplementedError

    def compute(self, component: Any, *inputs: Tensor) -> Tensor:
        """What it makes of the batch."""
        raise NotImplementedError

    def use(self, component: Any) -> Tensor:
        """Compute without gradients."""
        with torch.no_grad():
            return self.compute(component, *self.inputs())

    def test_its_input_is_left_as_it_was(self) -> None:
        """The input may be the data set itself, or needed by another component."""
        inputs = self.inputs()
        before = [tensor.clone() for tensor in inputs]
        with torch.no_grad():
            self.compute(self.build(seed=0), *inputs)
        for tensor, was in zip(inputs, before, strict=True):
            assert torch.equal(tensor, was), self.says(
                "changes its input in place; avoid x += 1, x[...] = 1, relu_() and their like"
            )

    def test_a_deep_copy_computes_the_same(self) -> None:
        """Averages of weights and workers are made from copies."""
        component = self.build(seed=0)
        try:
            copied = copy.deepcopy(component)
        except Exception as error:
            pytest.fail(
                self.says(
                    f"cannot be copied ({type(error).__name__}: {error}); keep no lambda, lock, "
                    "generator or open file in it"
                )
            )
        assert torch.equal(self.use(component), self.use(copied)), self.says(
            "a deep copy computes something else; keep its whole state in its attributes"
        )

    def test_a_gpu_computes_the_same(self) -> None:
        """Up to rounding; skipped where there is none."""
        if not torch.cuda.is_available():
            pytest.skip("no CUDA device here")
        component = self.build(seed=0)
        expected = self.use(component)
        if isinstance(component, torch.nn.Module):
            component = component.cuda()
        with torch.no_grad():
            on_gpu = self.compute(component, *self.inputs("cuda"))
        assert on_gpu.is_cuda, self.says("returns to the CPU; create tensors on the input's device")
        difference = (on_gpu.cpu() - expected).norm() / expected.norm().clamp(min=1e-3)
        assert difference < 0.02, self.says(
            f"a GPU computes something else (relative difference {difference:.2g})"
        )


TRIED: dict[EntryPoint, Trial] = {}
"""Imports that were tried, so that several suites may try all of them at once."""


def _trial(origin: Origin) -> Trial:
    """One process tries all that a distribution provides, as starting one takes seconds."""
    if origin.entry not in TRIED:
        groups = [registry.group for registry in REGISTRIES.values()]
        origins = [
            other
            for other in installed().origins
            if other.distribution == origin.distribution and other.entry.group in groups
        ]
        entries = [other.entry for other in origins]
        TRIED.update(zip(entries, try_imports(origins), strict=True))
    return TRIED[origin.entry]


def _documentation(factory: Factory) -> str:
    """Its docstring, its module's, and those of the class that it says it returns."""
    factory = inspect.unwrap(factory)
    built = getattr(factory, "__annotations__", {}).get("return")
    spoken = [factory, *([built] if isinstance(built, type) else [])]
    modules = [sys.modules.get(getattr(one, "__module__", "")) for one in spoken]
    return "\n".join(inspect.getdoc(one) or "" for one in [*spoken, *modules] if one is not None)

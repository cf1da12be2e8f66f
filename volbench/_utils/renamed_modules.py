"""Old import paths: they work for one release, with a DeprecationWarning that names the new one.

The table is data: a module of version 0.1 on the left, its place today on the right; what lies
inside a package that moved as a whole moves with it. An old name never makes a second copy of a
module, so classes keep their identity.
"""

import sys
import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

PACKAGE = "volbench"

MOVED: dict[str, str] = {
    "api.rows": "_api.frame_rows",
    "api.runs": "_api.runs",
    "api.train": "_api.run",
    "augmentations.rectal": "augmentations.lee2022",
    "benchmark": "crossval",
    "benchmark.environment": "crossval.environment",
    "benchmark.executor": "crossval.workers",
    "benchmark.plan": "crossval.plan",
    "benchmark.precision": "crossval.precision_check",
    "benchmark.run": "crossval.run_cross_validation",
    "benchmark.shared": "crossval.shared_inputs",
    "benchmark.task": "crossval.fold_task",
    "card": "model_card",
    "card.facts": "model_card.run_facts",
    "card.scores": "model_card.score_tables",
    "card.text": "model_card.markdown",
    "catalogue": "plugins.catalog",
    "child": "_utils.subprocesses",
    "convolutions": "profiling.conv_trace",
    "data.check": "data.checking.check",
    "data.describe": "data.checking.describe",
    "data.cache.location": "_utils.cache_location",
    "data.dicom": "data.formats.dicom",
    "data.files": "data.formats.file_bytes",
    "data.fingerprints": "data.cache.fingerprints",
    "data.integrity": "data.formats.integrity",
    "data.loader": "data.loading.loader",
    "data.meta": "data.formats.metaimage",
    "data.n4": "data.preprocessing.n4",
    "data.nifti": "data.formats.nifti",
    "data.nrrd": "data.formats.nrrd",
    "data.options": "data.preprocessing.options",
    "data.pack": "data.cache.writing",
    "data.parts": "data.preparation.case",
    "data.prepare": "data.preparation.prepare_data",
    "data.preprocess": "data.preprocessing.operations",
    "data.raster": "data.formats.oriented_volume",
    "data.read": "data.reading",
    "data.sampler": "data.loading.sampler",
    "data.survey": "data.checking.survey",
    "data.workers": "_utils.process_pool",
    "describe": "plugins.component_info",
    "distributions": "plugins.discovery",
    "encoders.packing": "encoders.packed_slices",
    "engine": "training",
    "engine.clock": "profiling.section_timer",
    "engine.compiling": "training.compile",
    "engine.network": "training.network",
    "engine.optimisation": "training.optimizer",
    "engine.roofline": "profiling.roofline",
    "engine.scoring": "training.inference",
    "engine.selftest": "training.precision_selftest",
    "engine.timings": "profiling.fold_timings",
    "engine.views": "training.tta",
    "export.file": "export.onnx_file",
    "export.graph": "export.onnx_graph",
    "files": "_utils.atomic_io",
    "guard": "plugins.isolation",
    "leaderboard.beside": "leaderboard.published.side_by_side",
    "leaderboard.choices": "leaderboard.selection",
    "leaderboard.compare": "leaderboard.statistics.compare",
    "leaderboard.comparison": "leaderboard.statistics.comparison",
    "leaderboard.cost": "leaderboard.statistics.cost",
    "leaderboard.document": "leaderboard.render.json",
    "leaderboard.draw": "leaderboard.render.terminal",
    "leaderboard.filters": "leaderboard.selection",
    "leaderboard.findings": "leaderboard.statistics.comparison",
    "leaderboard.html": "leaderboard.render.html",
    "leaderboard.latex": "leaderboard.render.latex",
    "leaderboard.layout": "leaderboard.render.layout",
    "leaderboard.paired": "leaderboard.statistics.pairs",
    "leaderboard.rectal2022": "leaderboard.published.lee2022",
    "leaderboard.reference": "leaderboard.published.references",
    "leaderboard.repeats": "leaderboard.statistics.repeats",
    "leaderboard.resampling": "leaderboard.statistics.intervals",
    "leaderboard.runs": "runs.load",
    "leaderboard.scoring": "leaderboard.statistics.run_scores",
    "leaderboard.sheet": "leaderboard.render.csv",
    "leaderboard.shortcuts": "leaderboard.statistics.shortcut_test",
    "leaderboard.show": "leaderboard.render.show",
    "leaderboard.sorting": "leaderboard.selection",
    "leaderboard.strata": "leaderboard.statistics.strata",
    "leaderboard.words": "leaderboard.text",
    "machine": "_utils.cpu",
    "metrics": "evaluation.metrics",
    "model": "training.classifier",
    "options": "plugins.signatures",
    "predict.checks": "predict.training_range",
    "predict.familiar": "predict.seen_in_training",
    "predict.show": "predict.output",
    "predict.trained": "predict.trained_run",
    "probe": "plugins.import_check",
    "profile": "profiling.encoder_cost",
    "randomness": "_utils.case_generator",
    "recipe": "experiment.recipe",
    "recipes": "experiment.recipes",
    "records": "runs.folder",
    "references": "leaderboard.published.tables",
    "registry": "plugins.registry",
    "report.make": "report.make_report",
    "report.pictures": "report.images",
    "report.prepared": "report.prepared_data",
    "report.rows": "report.candidate_figures",
    "report.shown": "report.report_row",
    "report.words": "report.text",
    "report.wrong": "report.misclassified",
    "rows": "runs",
    "scaffold": "plugins.scaffold",
    "scores": "evaluation",
    "scores.items": "evaluation.items",
    "scores.strata": "evaluation.strata",
    "scores.tables": "evaluation.score_tables",
    "seeds": "_utils.seeds",
    "space": "experiment.search_space",
    "splits": "experiment.split_designs",
    "statistics": "evaluation.statistics",
    "statistics.verdict": "evaluation.statistics.multiple_comparisons",
    "statistics.multiple": "evaluation.statistics.multiple_comparisons",
    "statistics.groups": "evaluation.statistics.multiple_comparisons",
    "statistics.placements": "evaluation.statistics.delong",
    "statistics.resampled": "evaluation.statistics.corrected_t_test",
    "statistics.resampling": "evaluation.statistics.patient_bootstrap",
    "suite.run": "suite.run_suite",
    "suite.show": "suite.show_suite",
    "transfer": "_utils.device",
    "tune.room": "tune.shared_lock",
    "tune.run": "tune.run_tuning",
    "tune.work": "tune.worker",
    "unimported": "plugins.static_check",
    "api": "_api",
}


def new_path(old: str) -> str | None:
    """Where a module of an earlier release is now; None where it has not moved.

    >>> new_path("volbench.engine.fold"), new_path("volbench.registry"), new_path("volbench.spec")
    ('volbench.training.fold', 'volbench.plugins.registry', None)
    """
    root, _, inside = old.partition(".")
    if root != PACKAGE:
        return None
    parts = inside.split(".")
    for length in range(len(parts), 0, -1):
        moved = MOVED.get(".".join(parts[:length]))
        if moved is not None:
            return ".".join([PACKAGE, moved, *parts[length:]])
    return None


class MovedModuleFinder(MetaPathFinder, Loader):
    """Import today's module under its old name."""

    def find_spec(
        self, fullname: str, path: object, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Claim the names that have moved, before a package's own path is searched."""
        return ModuleSpec(fullname, self) if new_path(fullname) else None

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Let Python make an empty module, which ``exec_module`` replaces."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Put today's module in the place of the old name.

        Raises:
            ModuleNotFoundError: there is no such module any more; names the old path.
        """
        old = module.__name__
        new = new_path(old)
        assert new is not None  # find_spec claims moved names only
        try:
            found = import_module(new)
        except ModuleNotFoundError as error:
            if error.name != new:
                raise
            raise ModuleNotFoundError(f"No module named {old!r}", name=old) from None
        warnings.warn(
            f"{old} is now {new}; the old path goes with the next release",
            DeprecationWarning,
            stacklevel=2,
        )
        sys.modules[old] = found


def keep_old_paths() -> None:
    """Let old import paths find today's modules; once per process."""
    if not any(isinstance(finder, MovedModuleFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, MovedModuleFinder())


def renamed(module: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a ``__getattr__`` that answers a module's old names with a warning.

    Args:
        module: ``__name__`` of the module.
        names: Old name to new name, which the module has.
    """

    def get(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        warnings.warn(
            f"{module}.{name} is now {names[name]}; the old name goes with the next release",
            DeprecationWarning,
            stacklevel=2,
        )
        return getattr(sys.modules[module], names[name])

    return get

"""What tells the experiments of a suite apart, before and after they are run."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from volbench.errors import VolbenchError
from volbench.experiment.recipe import load_recipe
from volbench.experiment.setting_differences import COMPONENTS, differing_settings
from volbench.suite.expand import Suite, SuiteCandidate


def known_settings(suite: Suite, candidate: SuiteCandidate) -> dict[str, Any]:
    """As much of a candidate's experiment as the files say; no data set is opened for it."""
    known: dict[str, Any] = {name: getattr(candidate, name) for name in COMPONENTS}
    try:
        recipe = load_recipe(
            suite.recipe or candidate.recipe, (*candidate.overrides, *suite.overrides)
        )
    except VolbenchError:  # the row says that it cannot be run
        return known
    written = recipe.model_dump(mode="json", exclude={"summary"})
    return {**known, "summary": recipe.summary, "recipe": written}


def candidate_labels(suite: Suite) -> Mapping[SuiteCandidate, str]:
    """A line for each candidate: names of its components, and the settings it differs in.

    Components are written in full where two candidates share all names.
    """
    candidates = suite.candidates
    settings = [
        each
        for each in differing_settings([known_settings(suite, one) for one in candidates])
        if each.key not in COMPONENTS
    ]
    counted = Counter(candidate.label for candidate in candidates)
    labels = [_specs(one) if counted[one.label] > 1 else one.label for one in candidates]
    if len(set(labels)) < len(labels) or any("." in each.key for each in settings):
        labels = [
            ", ".join(filter(None, [label, *(each.phrases[place] for each in settings)]))
            for place, label in enumerate(labels)
        ]
    return dict(zip(candidates, labels, strict=True))


def _specs(candidate: SuiteCandidate) -> str:
    named: Sequence[str] = (
        candidate.encoder,
        candidate.aggregator or "slices",
        candidate.loss,
    )
    if all(spec == spec.partition("(")[0] for spec in named):
        return candidate.label
    return ", ".join(named)

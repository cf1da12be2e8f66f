"""Runs of one table on other images of the same patients, and how they are told apart."""

from collections.abc import Iterable, Sequence

from volbench._utils.text import plural
from volbench.runs.load import LoadedRun, named_otherwise


def several_inputs(runs: Iterable[LoadedRun]) -> bool:
    """Whether runs saw different images, or the same ones under other names of cases."""
    return len({run.experiment["data_digest"] for run in runs}) > 1


def input_names(runs: Sequence[LoadedRun]) -> list[str]:
    """What each run saw: the data's short name, with channels and digest as far as needed."""
    digests = [str(run.experiment["data_digest"]) for run in runs]
    channels = [f"{run.data} ({', '.join(run.channels) or 'no channel'})" for run in runs]
    for names in ([run.data for run in runs], channels):
        if len(set(zip(names, digests, strict=True))) == len(set(names)):
            return names
    return [f"{run.data} {digest[:8]}" for run, digest in zip(runs, digests, strict=True)]


def input_note(runs: Sequence[LoadedRun]) -> list[str]:
    """Say that rows saw other images of the same patients, and which; nothing if they did not."""
    if not several_inputs(runs):
        return []
    named: dict[str, list[str]] = {}
    seen: dict[str, LoadedRun] = {}
    for run, name in zip(runs, input_names(runs), strict=True):
        named.setdefault(name, []).append(run.name)
        seen.setdefault(name, run)
    parts = [
        f"{', '.join(of)} on {name}: {plural(seen[name].cases, 'case')}, "
        f"data {str(seen[name].experiment['data_digest'])[:8]}"
        for name, of in named.items()
    ]
    paired = "; cases have other names, so patients are paired" if named_otherwise(runs) else ""
    return [f"Inputs differ, patients, labels and folds do not{paired}. {'; '.join(parts)}."]

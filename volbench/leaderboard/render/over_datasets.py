"""Candidates over several data sets as tables and as JSON values."""

import math
from dataclasses import asdict
from typing import Any

from volbench.leaderboard.published.base import TextTable
from volbench.leaderboard.render.json import plain
from volbench.leaderboard.render.layout import interval, p_text
from volbench.leaderboard.statistics.candidates import Name
from volbench.leaderboard.statistics.over_datasets import OverDataSetsTable


def over_tables(found: OverDataSetsTable) -> list[TextTable]:
    """AUC by data set with groups of ties, then all pairs."""
    names = found.candidates
    cells: dict[str, list[str]] = {
        **_components(list(names)),
        "group": [found.groups[name] for name in names],
    }
    for place, data in enumerate(found.data):
        cells[f"AUC\n{data}"] = [_number(found.areas[name][place]) for name in names]
    if found.best:
        cells["P\n(best)"] = [f"{found.best[name]:.2f}" for name in names]
    best = (
        " P(best): probability of being practically best, its mean AUC over data sets like these "
        f"within {found.margin:g} of the largest."
    )
    summary = TextTable(
        f"{len(found.data)} data sets",
        cells,
        [
            "group: candidates that share a letter cannot be told apart over these data sets."
            + (best if found.best else "")
        ],
    )
    pairs = found.pairs
    compared: dict[str, list[str]] = {
        "run": [pair.first.text for pair in pairs],
        "against": [pair.second.text for pair in pairs],
        "diff.": [f"{pair.overall.difference:+z.3f}" for pair in pairs],
        "95 %": [interval(pair.overall.low, pair.overall.high, signed=True) for pair in pairs],
        "between\nSD": [f"{pair.overall.between:.3f}" for pair in pairs],
        "p\n(Holm)": [p_text(pair.p_holm) for pair in pairs],
        "P\n(same)": [f"{pair.overall.rope.same:.2f}" for pair in pairs],
        "verdict": [pair.verdict for pair in pairs],
    }
    notes = [
        "Random-effects mean over data sets of the paired differences of AUC (DerSimonian-Laird, "
        "Hartung-Knapp t-test with one degree of freedom less than data sets), Holm over "
        f"{len(pairs)} pair{'s' if len(pairs) > 1 else ''}. between SD: of true differences "
        "between data sets. P(same): mean difference within "
        f"{pairs[0].overall.rope.margin:g}. These data sets count as a sample of those that the "
        "answer is about; two or three of them show large differences only."
    ]
    return [summary, TextTable("Over data sets", compared, notes)]


def over_json(found: OverDataSetsTable) -> dict[str, Any]:
    """Everything as plain values; NaN is None."""
    values = {
        "schema": 1,
        "data": list(found.data),
        "candidates": [
            {
                **_named(name),
                "group": found.groups[name],
                "auc": list(found.areas[name]),
                "p_practically_best": found.best.get(name),
            }
            for name in found.candidates
        ],
        "pairs": [
            {
                "run": _named(pair.first),
                "against": _named(pair.second),
                "differences": list(pair.each),
                **asdict(pair.overall),
                "p_holm": pair.p_holm,
                "verdict": pair.verdict,
            }
            for pair in found.pairs
        ],
    }
    return {name: plain(value) for name, value in values.items()}


def _components(names: list[Name]) -> dict[str, list[str]]:
    columns = {
        "encoder": [name.encoder for name in names],
        "agg": [name.aggregator for name in names],
        "loss": [name.loss for name in names],
    }
    headings = dict.fromkeys(heading for name in names for heading, _ in name.settings)
    columns |= {
        heading: [dict(name.settings).get(heading, "") for name in names] for heading in headings
    }
    return {key: texts for key, texts in columns.items() if len(set(texts)) > 1} or columns


def _named(name: Name) -> dict[str, object]:
    return {**name._asdict(), "settings": dict(name.settings)}


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.3f}"

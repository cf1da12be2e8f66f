"""Sections of a comparison: leaderboard, shortcut baselines, pairs."""

import math
from collections.abc import Sequence

from volbench._utils.text import short_seconds
from volbench.evaluation.metrics import Metric, metrics_for
from volbench.leaderboard.identity import identities, row_labels
from volbench.leaderboard.published.base import TextTable
from volbench.leaderboard.render.learning_curve import learning_curve_sections
from volbench.leaderboard.render.terminal import mean_std
from volbench.leaderboard.statistics.comparison import Candidate, Comparison, Pair
from volbench.leaderboard.statistics.run_scores import Estimate
from volbench.leaderboard.text import (
    DAGGER,
    DOUBLE_DAGGER,
    digits_of_p,
    headline_notes,
    pair_notes,
    shortcut_notes,
    title,
)


def sections(
    found: Comparison,
    *,
    metrics: Sequence[str] | None = None,
    all_pairs: bool = False,
    stacked: bool = False,
) -> list[TextTable]:
    """Lay out a comparison.

    Args:
        found: What to show.
        metrics: Names of the metrics to show; None means the headline ones.
        all_pairs: Show every pair, not only those with the reference row.
        stacked: Put spreads and intervals beneath the means, where columns are scarce.
    """
    parts = [_headline(found, metrics, stacked=stacked)]
    if found.shortcuts:
        parts.append(_shortcuts(found))
    parts += learning_curve_sections(found)
    if found.pairs:
        parts.append(_pairs(found, all_pairs=all_pairs))
    return parts


def chosen_metrics(found: Comparison, names: Sequence[str] | None) -> list[Metric]:
    """The metrics to show, in the order asked for."""
    known = metrics_for(found.classes)
    if names is not None:
        return [known[name] for name in names if name in known]
    return [metric for metric in known.values() if metric.headline]


def _headline(found: Comparison, names: Sequence[str] | None, *, stacked: bool) -> TextTable:
    rows = found.rows
    cells, common = identities(rows)
    cells["folds"] = [_folds(row, stacked=stacked) for row in rows]
    if found.pairs:
        cells["group"] = [row.letters for row in rows]
    for metric in chosen_metrics(found, names):
        _add(cells, metric, rows, stacked=stacked)
    for other in ("slice", "case"):
        if any(other in row.other_units for row in rows if row.level == "slice"):
            cells[f"AUC per {other}"] = [
                _short(row.other_units[other], percent=False, stacked=stacked)
                if other in row.other_units
                else ""
                for row in rows
            ]
    if not all(math.isnan(row.optimism) for row in rows):
        gaps = [row.optimism for row in rows]
        cells["optimism"] = ["" if math.isnan(gap) else f"{gap:+z.3f}" for gap in gaps]
    cells["M par"] = [_number(row.cost.parameters, 1e6, 2) for row in rows]
    if found.one_machine:
        cells["s/fold"] = [_seconds(row.cost.seconds) for row in rows]
        cells["GB"] = [_number(row.cost.peak_memory_mb, 1024, 1) for row in rows]
    notes = headline_notes(found, stacked=stacked)
    return TextTable(title(found), cells, [*([f"{common}."] if common else []), *notes])


def _add(
    cells: dict[str, list[str]], metric: Metric, rows: Sequence[Candidate], *, stacked: bool
) -> None:
    heading = metric.column
    scores = [row.score(metric.name) for row in rows]
    if metric.name != "auc":
        cells[heading] = [
            _short(each, percent=metric.percent, stacked=stacked) if row.folds else ""
            for row, each in zip(rows, scores, strict=True)
        ]
        return
    means = [
        (mean_std(each.mean, each.std, percent=False) if row.folds else "none yet") + _mark(row)
        for row, each in zip(rows, scores, strict=True)
    ]
    spans = [interval(each.low, each.high) for each in scores]
    if stacked:
        cells[heading] = ["\n".join(filter(None, both)) for both in zip(means, spans, strict=True)]
    else:
        cells |= {heading: means, "95 %": spans}


def _shortcuts(found: Comparison) -> TextTable:
    cells = {
        "features": [shortcut.features for shortcut in found.shortcuts],
        "model": [shortcut.model for shortcut in found.shortcuts],
        "AUC": [
            mean_std(shortcut.auc.mean, shortcut.auc.std, percent=False)
            for shortcut in found.shortcuts
        ],
    }
    if any(shortcut.note for shortcut in found.shortcuts):
        cells["note"] = [shortcut.note for shortcut in found.shortcuts]
    return TextTable("Shortcut baselines (no image used)", cells, shortcut_notes(found))


def _pairs(found: Comparison, *, all_pairs: bool) -> TextTable:
    rows = found.rows
    shown: Sequence[Pair] = found.pairs if all_pairs else found.shown_pairs()
    if all_pairs:
        heading = "All pairs, the row that stands higher first"
        brief = _brief(rows)
        cells = {
            "run": [brief[pair.first] for pair in shown],
            "against": [brief[pair.second] for pair in shown],
        }
    else:
        assert found.against is not None
        heading = f"Against {row_labels(rows)[found.against]}"
        cells, _ = identities([rows[pair.first] for pair in shown])
        cells = cells or {"encoder": [rows[pair.first].encoder for pair in shown]}
    cells["diff."] = [f"{pair.difference:+z.3f}" for pair in shown]
    cells["95 %"] = [interval(pair.low, pair.high, signed=True) for pair in shown]
    cells["p\n(Holm)"] = [p_text(pair.p_holm) for pair in shown]
    if any(not math.isnan(pair.p_delong) for pair in shown):
        cells["DeLong\np"] = [p_text(pair.p_delong) for pair in shown]
    if any(pair.rope for pair in shown):
        cells["P\n(same)"] = [f"{pair.rope.same:.2f}" if pair.rope else "" for pair in shown]
    cells["verdict"] = [pair.verdict for pair in shown]
    return TextTable(heading, cells, pair_notes(found))


def interval(low: float, high: float, *, signed: bool = False) -> str:
    """Show an interval; nothing where there is none.

    >>> interval(0.701, 0.8937), interval(-0.056, 0.0235, signed=True)
    ('.701 to .894', '-.056 to +.024')
    """
    if math.isnan(low) or math.isnan(high):
        return ""
    form = "+z.3f" if signed else "z.3f"
    low_text, high_text = (f"{end:{form}}".replace("0.", ".", 1) for end in (low, high))
    return f"{low_text} to {high_text}"


def p_text(p: float) -> str:
    """Show a p value, with a digit more where three would round it up to the level.

    >>> p_text(0.0004), p_text(0.0312), p_text(0.0497), p_text(1.0), p_text(float("nan"))
    ('<.001', '.031', '.0497', '1', '')
    """
    if math.isnan(p):
        return ""
    if p < 0.001:
        return "<.001"
    return "1" if p > 0.9995 else f"{p:.{digits_of_p(p)}f}".removeprefix("0")


def _brief(rows: Sequence[Candidate]) -> list[str]:
    """What tells each row apart, in as few words as there are."""
    columns, _ = identities(rows)
    return [
        ", ".join(texts[place] for texts in columns.values()) or row.name
        for place, row in enumerate(rows)
    ]


def _mark(row: Candidate) -> str:
    dagger = DAGGER if row.bar is not None and not row.bar.beaten else ""
    return dagger + (DOUBLE_DAGGER if row.selected_on_these_data else "")


def _folds(row: Candidate, *, stacked: bool) -> str:
    done = f"{row.folds}/{row.folds_total}"
    if row.status == "complete":
        return done
    state = row.status
    if row.status == "incomplete" and stacked:
        return f"{done}\npart"
    return f"{done}\n{state}" if stacked else f"{done} {state}"


def _short(score: Estimate, *, percent: bool, stacked: bool) -> str:
    whole = mean_std(score.mean, score.std, percent=percent)
    return whole.replace("±", "\n±") if stacked else whole


def _seconds(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else short_seconds(value)


def _number(value: float | None, unit: float, digits: int) -> str:
    return "" if value is None or math.isnan(value) else f"{value / unit:.{digits}f}"

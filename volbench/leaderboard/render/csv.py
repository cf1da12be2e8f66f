"""Comparisons as CSV: one line per run, pair, baseline and group."""

from collections.abc import Sequence
from dataclasses import asdict

import pandas as pd

from volbench._utils.csv_text import harmless
from volbench.leaderboard.published.base import Reference
from volbench.leaderboard.render.json import pairs_values, plain, rows_values
from volbench.leaderboard.statistics.comparison import Comparison
from volbench.leaderboard.statistics.strata import ByStratum


def to_csv(
    found: Sequence[Comparison],
    strata: Sequence[Sequence[ByStratum]],
    *,
    reference: Reference | None = None,
) -> str:
    """Write all tables; a cell that a spreadsheet would compute gets an apostrophe before it."""
    frames = []
    for comparison, tables in zip(found, strata, strict=True):
        rows = pd.DataFrame(rows_values(comparison.rows)).drop(columns="classes")
        for name in ("runs", "seeds"):
            rows[name] = [" ".join(map(str, values)) for values in rows[name]]
        rows.insert(0, "kind", "run")
        if reference is not None:
            rows = reference.joined(rows, comparison.runs, ddof=comparison.ddof)
            rows["kind"] = rows["kind"].fillna("reported")
        parts = [rows, _others(comparison, tables)]
        table = pd.concat([part.astype(object) for part in parts if len(part)], ignore_index=True)
        table["data_digest"] = comparison.first_run.protocol[0]
        table["split_digest"] = " ".join(comparison.splits)
        table["unit"] = comparison.unit
        frames.append(table)
    whole = pd.concat(frames, ignore_index=True).astype(object)
    whole = whole.where(whole.notna(), "")  # or whole numbers beside gaps would become 3.0
    text: str = (
        whole.map(harmless).rename(columns=harmless_name).to_csv(index=False, lineterminator="\n")
    )
    return text


def harmless_name(name: str) -> str:
    """The same for the heading of a column."""
    return str(harmless(name))


def _others(found: Comparison, strata: Sequence[ByStratum]) -> pd.DataFrame:
    lines: list[dict[str, object]] = [{"kind": "pair", **values} for values in pairs_values(found)]
    for shortcut in found.shortcuts:
        values = asdict(shortcut)
        auc = values.pop("auc")
        lines.append(
            {
                "kind": "audit",
                "run": f"{shortcut.features}, {shortcut.model}",
                **{f"auc_{name}": value for name, value in auc.items()},
                **values,
            }
        )
    for table in strata:
        for record in table.frame.to_dict(orient="records"):
            named = {str(name): value for name, value in record.items()}
            lines.append({"kind": "stratum", "stratum": table.column, **named})
    return pd.DataFrame([{name: plain(value) for name, value in line.items()} for line in lines])

"""What tells the rows of a comparison apart: components, settings, and names as a last resort."""

from collections.abc import Sequence

from volbench.experiment.setting_differences import COMPONENTS, Setting, differing_settings, heading
from volbench.leaderboard.inputs import input_names, several_inputs
from volbench.leaderboard.statistics.comparison import SLICES, Candidate


def row_settings(rows: Sequence[Candidate]) -> list[Setting]:
    """Settings beside the components in which rows differ; seeds only if no row pools several."""
    pooled = any(len(row.runs) > 1 for row in rows)
    found = [
        setting
        for setting in differing_settings([row.runs[0].experiment for row in rows])
        if setting.key not in COMPONENTS and not (pooled and setting.key == "seed")
    ]
    runs = [row.runs[0] for row in rows]
    if several_inputs(runs):
        found.insert(0, Setting("inputs", "data", tuple(input_names(runs))))
    return found


def identities(rows: Sequence[Candidate]) -> tuple[dict[str, list[str]], str]:
    """Columns that tell the rows apart, and in a line what they have in common."""
    columns, common = {}, []
    for key in COMPONENTS:
        texts = [str(getattr(row, key)) for row in rows]
        if len(rows) > 1 and len(set(texts)) == 1:
            common.append("slice level" if texts[0] == SLICES else f"{heading(key)} {texts[0]}")
        else:
            columns[heading(key)] = texts
    columns |= {setting.heading: list(setting.texts) for setting in row_settings(rows)}
    if not _unique(columns, len(rows)):
        columns = {"run": [row.name for row in rows], **columns}
    return columns, f"All rows: {', '.join(common)}" if common else ""


def row_labels(rows: Sequence[Candidate]) -> list[str]:
    """A row in a line: its components, the settings in which it differs, its name if need be."""
    settings = row_settings(rows)
    parts = {heading(key): [str(getattr(row, key)) for row in rows] for key in COMPONENTS}
    parts |= {each.heading: list(each.phrases) for each in settings}
    found = [", ".join(filter(None, texts)) for texts in zip(*parts.values(), strict=True)]
    if _unique(parts, len(rows)):
        return found
    return [f"{row.name} ({text})" for row, text in zip(rows, found, strict=True)]


def _unique(columns: dict[str, list[str]], rows: int) -> bool:
    return len(set(zip(*columns.values(), strict=True))) == rows if columns else rows <= 1

"""Learning curve over patients: AUC against the share of the training patients."""

from collections.abc import Sequence

from markupsafe import Markup
from matplotlib.figure import Figure

from volbench.leaderboard.render.learning_curve import learning_curves, share_of
from volbench.leaderboard.statistics.comparison import Candidate, Comparison
from volbench.report.report_row import number
from volbench.report.svg import ACCENT, figure

WIDTH, HEIGHT = 300, 240


def patient_curves(found: Comparison, *, name: str) -> list[tuple[str, Markup]]:
    """Title and figure of each set of rows that differ in their share of patients only."""
    return [
        (
            f"{rows[0].encoder}, {rows[0].aggregator}, {rows[0].loss}",
            _figure(rows, name=f"{name}{place}"),
        )
        for place, rows in enumerate(learning_curves(found))
    ]


def _figure(rows: Sequence[Candidate], *, name: str) -> Markup:
    shares = [100 * share_of(row) for row in rows]
    scores = [row.score("auc") for row in rows]

    def draw(sheet: Figure) -> None:
        axes = sheet.add_subplot()
        axes.grid()
        for share, score in zip(shares, scores, strict=True):
            axes.plot([share] * 2, [score.low, score.high], color=ACCENT, lw=1.5, alpha=0.6)
        means = [score.mean for score in scores]
        axes.plot(shares, means, color=ACCENT, lw=2, marker="o", ms=6)
        axes.set(xlabel="% of the training patients", ylabel="AUC", xlim=(0, 105), xticks=shares)
        axes.set_xticklabels([f"{share:g}" for share in shares])
        axes.locator_params(axis="y", nbins=5)

    said = ", ".join(
        f"{share:g} %: {number(score.mean)}" for share, score in zip(shares, scores, strict=True)
    )
    return figure(
        draw, width=WIDTH, height=HEIGHT, name=name, label=f"AUC by share of patients. {said}."
    )

"""`volbench plan`: what differences a data set can show, by design, before anything is trained."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from volbench._utils.text import plural
from volbench.cli.options import FiniteRange
from volbench.cli.output import chosen_format, emit, facts_text, json_text, output_options

if TYPE_CHECKING:
    from volbench.evaluation.statistics import Assumptions, PlannedDesign
    from volbench.leaderboard.statistics.pilot import Pilot

AUC = FiniteRange(0.5, 1, min_open=True, max_open=True)
SHARE = FiniteRange(0, 1, min_open=True, max_open=True)


@click.command("plan")
@click.argument("data", required=False)
@click.option(
    "--candidates",
    type=click.IntRange(2),
    default=2,
    show_default=True,
    help="Ways of training to compare, in all pairs.",
)
@click.option(
    "pilots",
    "--from",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="RUN|FOLDER",
    help="Runs to take correlation, AUC and minutes from, where these are not given; repeatable.",
)
@click.option("--auc", type=AUC, show_default="0.8, or the best of --from", help="Expected AUC.")
@click.option(
    "--correlation",
    type=FiniteRange(0, 1, max_open=True),
    show_default="0.5, or the median of --from",
    help="Expected correlation of the AUC of two candidates over samples of patients.",
)
@click.option(
    "--training-luck",
    type=FiniteRange(1),
    default=1.4,
    show_default=True,
    help="Variance of training again over that of other patients; 1.1 to 1.7 in simulations.",
)
@click.option(
    "--power", type=SHARE, default=0.8, show_default=True, help="Chance of finding the difference."
)
@click.option("--alpha", type=SHARE, default=0.05, show_default=True, help="Level of the test.")
@click.option(
    "--minutes",
    type=FiniteRange(0, min_open=True),
    metavar="M",
    help="Minutes that a training takes (volbench run --dry-run estimates them): shows the time "
    "of all trainings.",
)
@output_options("table", "json")
def command(
    data: str | None,
    candidates: int,
    pilots: tuple[Path, ...],
    auc: float | None,
    correlation: float | None,
    training_luck: float,
    power: float,
    alpha: float,
    minutes: float | None,
    style: str | None,
    output: Path | None,
) -> None:
    """Show which differences of AUC a design can find.

    DATA is a manifest.csv, a prepared folder or the spec of a data set; by default that of --from,
    else the phantom. Only its list of patients is read. Nothing is trained: the figures rest on
    assumptions, which are shown with them.

    \b
    volbench plan my/manifest.csv --candidates 4 --auc 0.85
    volbench plan my/manifest.csv --minutes 20 --format json
    volbench plan --from runs --candidates 4
    """
    from volbench.evaluation.statistics import Assumptions, plan_designs

    data, found, pilot = _read(data, pilots)
    if pilot is not None:
        auc = pilot.auc if auc is None else auc
        correlation = pilot.correlation if correlation is None else correlation
        minutes = pilot.minutes if minutes is None else minutes
    usual = Assumptions()
    given = Assumptions(
        usual.auc if auc is None else auc,
        usual.correlation if correlation is None else correlation,
        training_luck,
        power,
        alpha,
    )
    designs = plan_designs(
        [len(each) for each in found.values()], candidates=candidates, assumptions=given
    )
    if chosen_format(style, output, ("table", "json")) == "json":
        text = json_text(_values(data, found, candidates, given, designs, minutes, pilot))
    else:
        text = _text(
            *(data, found, candidates, given, designs, minutes, pilot),
            to_file=output is not None,
        )
    emit(text, output)


def _read(
    data: str | None, pilots: Sequence[Path]
) -> "tuple[str, dict[str, set[str]], Pilot | None]":
    """The data set's name, its patients by class, and what runs that are done tell."""
    from volbench.data.preparation.patients import patients_of

    if not pilots:
        data = data or "phantom"
        return data, patients_of(data), None
    from volbench.experiment.experiment import short_source
    from volbench.leaderboard.statistics.pilot import patients_of_runs, read_pilot
    from volbench.runs.load import find_runs, load_run

    runs = [load_run(path) for path in find_runs(pilots)]
    if data is not None:
        return data, patients_of(data), read_pilot(runs)
    return short_source(runs[0].experiment["source"]), patients_of_runs(runs), read_pilot(runs)


def _values(
    data: str,
    patients: Mapping[str, set[str]],
    candidates: int,
    given: "Assumptions",
    designs: "Sequence[PlannedDesign]",
    minutes: float | None,
    pilot: "Pilot | None",
) -> dict[str, Any]:
    return {
        "data": data,
        "patients": len(set().union(*patients.values())),
        "classes": {name: len(each) for name, each in patients.items()},
        "candidates": candidates,
        "assumptions": asdict(given),
        "pilot": None if pilot is None else asdict(pilot),
        "minutes_per_training": minutes,
        "designs": [
            {
                **asdict(design),
                "trainings_of_all": design.trainings * candidates,
                "hours": None if minutes is None else _hours(design, candidates, minutes),
            }
            for design in designs
        ],
    }


def _hours(design: "PlannedDesign", candidates: int, minutes: float) -> float:
    return design.trainings * candidates * minutes / 60


def _unit(least_hours: float) -> tuple[str, int]:
    """Unit in which the shortest time is no zero, and how many make an hour.

    >>> _unit(0.2), _unit(0.02), _unit(0.0001)
    (('hours', 1), ('minutes', 60), ('seconds', 3600))
    """
    units = (("hours", 1), ("minutes", 60), ("seconds", 3600))
    return next((each for each in units if each[1] * least_hours >= 0.1), units[-1])


def _text(
    data: str,
    patients: Mapping[str, set[str]],
    candidates: int,
    given: "Assumptions",
    designs: "Sequence[PlannedDesign]",
    minutes: float | None,
    pilot: "Pilot | None",
    *,
    to_file: bool,
) -> str:
    from volbench._utils.text_table import Column, output_width, paragraph
    from volbench.cli.output import table_text

    pairs = candidates * (candidates - 1) // 2
    classes = ", ".join(f"{len(each)} {name}" for name, each in patients.items())
    counted = plural(len(set().union(*patients.values())), "patient")
    facts = [
        ("data", f"{data}: {counted} ({classes})"),
        ("compared", f"{candidates} candidates, {plural(pairs, 'pair')}"),
        *([("from", f"{plural(len(pilot.runs), 'run')}, {plural(pilot.pairs, 'pair')}: correlation "
                    f"{pilot.lowest:.2f} to {pilot.highest:.2f}, best AUC {pilot.auc:.3f}")]
          if pilot else []),
        ("assumed", f"AUC {given.auc:.3g}, correlation {given.correlation:.2g} between candidates, "
                    f"training luck {given.training_luck:g}"),
        ("shown", f"the true difference of AUC that is found with a chance of {given.power:.0%} "
                  f"at level {given.alpha:g}"),
    ]  # fmt: skip
    columns = [
        Column("volbench run", [each.options for each in designs], lead=True),
        Column("trainings", [str(each.trainings * candidates) for each in designs], "number"),
        Column("one pair", [_difference(each.detectable) for each in designs], "number"),
    ]
    if pairs > 1:
        adjusted = [_difference(each.detectable_holm) for each in designs]
        columns.append(Column(f"{pairs} pairs\n(Holm)", adjusted, "number"))
    if minutes is not None:
        hours = [_hours(each, candidates, minutes) for each in designs]
        unit, per_hour = _unit(min(hours))
        columns.append(Column(unit, [f"{each * per_hour:.1f}" for each in hours], "number"))
    note = "\n".join(paragraph(NOTE, output_width()))
    return f"{facts_text(facts)}\n{table_text(columns, to_file=to_file)}\n{note}\n"


NOTE = (
    "A guess to choose a design by, not a promise: the differences grow with the root of 1 - "
    "correlation. Once two runs are there, volbench compare says what their folds can show."
)


def _difference(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"

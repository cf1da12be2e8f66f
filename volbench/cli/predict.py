"""`volbench predict`: predict new volumes with the networks of a run."""

from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from volbench.cli.options import inference_options
from volbench.cli.output import chosen_format, echo_note, emit, output_options
from volbench.cli.progress.counter import counter

if TYPE_CHECKING:
    from volbench.predict.output import Format


@click.command("predict")
@click.argument("run", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("volumes", nargs=-1, metavar="[VOLUME]...", type=click.Path(path_type=Path))
@click.option(
    "--channel",
    "channels",
    multiple=True,
    metavar="NAME=PATH",
    help="Image of one channel, instead of VOLUME, for multi-channel runs; repeatable.",
)
@click.option(
    "--mask",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Region-of-interest mask of the volume, if the run crops to it.",
)
@output_options("csv", "json")
@inference_options
def command(
    run: Path,
    volumes: tuple[Path, ...],
    channels: tuple[str, ...],
    mask: Path | None,
    style: "Format | None",
    output: Path | None,
    device: str,
    precision: str,
    jobs: int | None,
    anyway: bool,
) -> None:
    """Predict new volumes with the ensemble of all folds.

    Research software; not for clinical use.

    The probabilities of all finished folds of RUN are averaged. A VOLUME is a NIfTI, NRRD or MHA
    file, a folder with one DICOM series, or a manifest.csv with or without labels. It is
    preprocessed as in the run. A volume outside the range of the training data is refused.

    \b
    volbench predict runs/mine scan.nii.gz
    volbench predict runs/mine new/manifest.csv --format json --output predictions.json
    """
    from volbench._utils.cpu import available_cores
    from volbench.predict.ensemble import Ensemble
    from volbench.predict.output import show
    from volbench.predict.results import NOTICE, summarised_warnings
    from volbench.predict.volumes import find_cases

    named = _named(channels)
    ensemble = Ensemble(run, device=device, precision=precision)
    cases = find_cases(volumes, ensemble.trained, mask=mask, channels=named)
    with (
        counter("preparing", "volumes") as on_case,
        counter("predicting", "folds") as on_fold,
    ):
        predicted = ensemble.predict(
            cases,
            anyway=anyway,
            jobs=jobs or available_cores(),
            on_case=on_case,
            on_fold=on_fold,
        )
    echo_note(f"note: {NOTICE}")
    for warning in (*ensemble.warnings, *summarised_warnings(predicted)):
        echo_note(f"warning: {warning}")
    text = show(predicted, ensemble, cast("Format", chosen_format(style, output, ("csv", "json"))))
    emit(text, output)


def _named(channels: tuple[str, ...]) -> dict[str, Path]:
    named: dict[str, Path] = {}
    for text in channels:
        name, equals, path = text.partition("=")
        if not (name and equals and path):
            raise click.UsageError(f"--channel {text!r} is not NAME=PATH, as in t2w=scan.nii.gz")
        if name in named:
            raise click.UsageError(f"--channel {name}= is given twice; give each channel once")
        named[name] = Path(path)
    return named

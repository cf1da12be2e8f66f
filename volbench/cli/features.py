"""`volbench features`: compute the tokens of a frozen encoder once, for heads to be trained on."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from volbench.cli.output import chosen_format, emit, facts_text, json_text, output_options

if TYPE_CHECKING:
    from volbench.experiment.experiment import Precision


@click.command("features")
@click.argument("data", metavar="SPEC|MANIFEST.CSV|FOLDER")
@click.option(
    "--encoder",
    required=True,
    metavar="SPEC",
    help="Frozen encoder, e.g. \"timm(name='resnet18', weights='r18.safetensors')\".",
)
@click.option(
    "settings",
    "--set",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override a preprocessing option, e.g. preprocessing.size=64; repeatable.",
)
@click.option(
    "--device", default="auto", show_default=True, help="Device: auto, cpu, cuda or cuda:N."
)
@click.option(
    "--precision",
    type=click.Choice(["auto", "float32", "bfloat16"]),
    default="auto",
    show_default=True,
    help="Numeric precision of the encoder.",
)
@click.option(
    "--jobs", type=click.IntRange(min=1), help="Preprocessing processes; default: one per core."
)
@output_options("table", "json")
def command(
    data: str,
    encoder: str,
    settings: tuple[str, ...],
    device: str,
    precision: "Precision",
    jobs: int | None,
    style: str | None,
    output: Path | None,
) -> None:
    """Compute the tokens of a frozen encoder once.

    Runs with the same encoder, weights, preprocessing and freeze=True that do not augment images
    find the stored tokens by themselves; they also store missing ones.
    """
    from volbench.cli.progress.counter import counter
    from volbench.crossval.features import store_features
    from volbench.data.preparation.prepare_data import default_options, prepare
    from volbench.data.preprocessing.options import with_settings
    from volbench.training.compute import choose_compute

    options = with_settings(default_options(data), settings)
    with counter("preparing", "cases") as report:
        prepared = prepare(data, options, jobs=jobs, on_case=report)
    compute = choose_compute(device, precision, jobs=1)
    with counter("encoding", "cases") as report:
        stored = store_features(encoder, prepared, compute, on_case=report)
    rows, length = stored.tokens.shape
    folder: Path = stored.folder
    if chosen_format(style, output, ("table", "json")) == "json":
        values = {
            "folder": str(folder),
            "cases": len(prepared.cases),
            "tokens": rows,
            "features": length,
            "precision": compute.precision,
            "bytes": int(stored.tokens.nbytes),
            "seconds": stored.seconds,
        }
        emit(json_text(values), output)
        return
    facts = [
        ("folder", str(folder)),
        ("cases", str(len(prepared.cases))),
        ("tokens", f"{rows} of {length} features, {compute.precision}"),
        ("size", f"{stored.tokens.nbytes / 1e6:.1f} MB"),
        ("seconds", f"{stored.seconds:.1f} (when they were computed)"),
    ]
    emit(facts_text(facts, least=10), output)

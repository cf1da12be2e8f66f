"""`volbench features`: compute the tokens of a frozen encoder once, for heads to be trained on."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from volbench._utils.text import plural
from volbench.cli.executor import open_executor
from volbench.cli.options import chosen_preprocessing, on_option, preprocessing_options
from volbench.cli.output import chosen_format, emit, facts_text, json_text, output_options

if TYPE_CHECKING:
    from volbench.data.cache.features import StoredFeatures
    from volbench.data.cache.packed_voxels import Prepared
    from volbench.experiment.experiment import Precision
    from volbench.interfaces import Executor


@click.command("features")
@click.argument("data", metavar="SPEC|MANIFEST.CSV|FOLDER")
@click.option(
    "--encoder",
    required=True,
    metavar="SPEC",
    help="Frozen encoder, e.g. \"timm(name='resnet18', weights='r18.safetensors')\".",
)
@preprocessing_options()
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
@on_option
@click.option(
    "--dry-run", is_flag=True, help="Check all inputs and print the plan without encoding."
)
@output_options("table", "json")
def command(
    data: str,
    encoder: str,
    recipe: str | None,
    settings: tuple[str, ...],
    device: str,
    precision: "Precision",
    jobs: int | None,
    on: str,
    dry_run: bool,
    style: str | None,
    output: Path | None,
) -> None:
    """Compute the tokens of a frozen encoder once.

    Runs with the same encoder, weights, preprocessing and freeze=True that do not augment images
    find the stored tokens by themselves; they also store missing ones. With --on, a machine that
    sees the same VOLBENCH_CACHE computes them.
    """
    from volbench.cli.progress.counter import counter
    from volbench.data.preparation.prepare_data import prepare

    options = chosen_preprocessing(data, recipe, settings)
    with counter("preparing", "cases") as report:
        prepared = prepare(data, options, jobs=jobs, on_case=report)
    stored: StoredFeatures | None
    with open_executor(on, None) as executor:
        if executor is None:
            stored, used = _store_here(
                encoder, prepared, device=device, precision=precision, dry_run=dry_run
            )
        else:
            stored, used = _store_on(
                executor, encoder, prepared, device=device, precision=precision, dry_run=dry_run
            )
    if stored is None:
        return
    rows, length = stored.tokens.shape
    folder: Path = stored.folder
    if chosen_format(style, output, ("table", "json")) == "json":
        values = {
            "folder": str(folder),
            "cases": len(prepared.cases),
            "tokens": rows,
            "features": length,
            "precision": used,
            "bytes": int(stored.tokens.nbytes),
            "seconds": stored.seconds,
        }
        emit(json_text(values), output)
        return
    facts = [
        ("folder", str(folder)),
        ("cases", str(len(prepared.cases))),
        ("tokens", f"{rows} of {length} features, {used}"),
        ("size", f"{stored.tokens.nbytes / 1e6:.1f} MB"),
        ("seconds", f"{stored.seconds:.1f} (when they were computed)"),
    ]
    emit(facts_text(facts, least=10), output)


def _store_here(
    encoder: str, prepared: "Prepared", *, device: str, precision: "Precision", dry_run: bool
) -> "tuple[StoredFeatures | None, str]":
    """Compute the tokens on this machine, or say what would be computed."""
    from volbench.cli.progress.counter import counter
    from volbench.crossval.features import store_features
    from volbench.training.device_and_precision import choose_compute

    compute = choose_compute(device, precision, jobs=1)
    if dry_run:
        _show_plan(encoder, prepared, f"on {compute.device} in {compute.precision}")
        return None, ""
    with counter("encoding", "cases") as report:
        stored = store_features(encoder, prepared, compute, on_case=report)
    return stored, compute.precision


def _store_on(
    executor: "Executor",
    encoder: str,
    prepared: "Prepared",
    *,
    device: str,
    precision: "Precision",
    dry_run: bool,
) -> "tuple[StoredFeatures | None, str]":
    """Have another machine compute the tokens, or show what would be submitted."""
    from volbench.cli.progress.counter import counter
    from volbench.crossval.features_task import executor_folder, features_task, store_features_on

    task = features_task(encoder, prepared, executor, device=device, precision=precision)
    if dry_run:
        _show_plan(encoder, prepared, "where the executor runs it")
        click.echo(executor.describe([task], executor_folder()))
        return None, ""
    with counter("encoding", "cases") as report:
        return store_features_on(
            executor,
            task,
            prepared,
            on_case=report,
            on_line=lambda line: click.echo(line, err=True),
        )


def _show_plan(encoder: str, prepared: "Prepared", where: str) -> None:
    from volbench.crossval.features import frozen_encoder

    spec, built = frozen_encoder(encoder, prepared)
    slices = sum(case.slices for case in prepared.cases)
    cases = plural(len(prepared.cases), "case")
    click.echo(f"{spec}: {slices} slices of {cases}, {built.num_features} features each, {where}")

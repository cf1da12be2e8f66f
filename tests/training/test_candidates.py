"""Runs with what came after the first release: their ids, and that each option does something."""

import json
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import timm
from safetensors.torch import save_file

from volbench import compare, load_runs
from volbench.cli.progress.plan import describe_plan
from volbench.crossval.plan import make_plan
from volbench.crossval.run_cross_validation import run
from volbench.errors import SpecError, StateError, UsageError
from volbench.experiment.experiment import experiment_from_json, experiment_json
from volbench.experiment.recipe import load_recipe
from volbench.model_card import card_markdown
from volbench.runs.load import load_run
from volbench.training.device_and_precision import choose_compute
from volbench.training.network import build_network

DATA = "phantom(patients=12, size=16, slices=3)"
QUICK = ("training.epochs=2",)
BASE = {
    "aggregator": "average",
    "loss": "focal",
    "folds": "2",
    "data": DATA,
    "precision": "float32",
}


def _plan(*overrides: str, encoder: str = "r2d(width=2)", **options: object):
    return make_plan(
        **{**BASE, **options},
        encoder=encoder,
        overrides=(*QUICK, *overrides),
    )


def _predictions(path: Path) -> str:
    return "".join(file.read_text() for file in sorted(path.glob("folds/*/predictions.csv")))


def test_defaults_of_later_keys_leave_no_trace_in_an_experiment() -> None:
    written = json.dumps(load_recipe("standard").model_dump(mode="json"))
    for key in ("regularization", "encoder_lr_scale", "layer_decay"):
        assert key not in written
    assert _plan("optimizer.encoder_lr_scale=1", "regularization.mixup=0").experiment.id == (
        _plan().experiment.id
    )
    assert _plan("regularization.mixup=0.2").experiment.id != _plan().experiment.id


@pytest.mark.parametrize(
    "override",
    [
        "regularization.mixup=0.5",
        "regularization.slice_dropout=0.5",
        "regularization.token_noise=0.3",
        "regularization.ema=0.5",
        "optimizer.encoder_lr_scale=0.01",
        "optimizer.layer_decay=0.3",
    ],
)
def test_every_option_changes_a_run_and_is_reproducible(override: str, tmp_path: Path) -> None:
    plain = run(_plan(), out=tmp_path, device="cpu", jobs=1, folds=[0]).path
    outcome = run(_plan(override), out=tmp_path, device="cpu", jobs=1, folds=[0])
    again = run(_plan(override), out=tmp_path, name="again", device="cpu", jobs=1, folds=[0])
    assert not outcome.failed
    assert _predictions(outcome.path) == _predictions(again.path) != _predictions(plain)


def test_hiding_slices_needs_an_aggregator() -> None:
    with pytest.raises(UsageError, match="--level slice has none"):
        _plan("regularization.slice_dropout=0.5", aggregator=None, level="slice")


def test_an_encoder_that_is_adapted_keeps_its_rate_and_a_line_says_so(tmp_path: Path) -> None:
    save_file(timm.create_model("test_vit").state_dict(), tmp_path / "w.safetensors")
    text = f"timm(name='test_vit', weights={str(tmp_path / 'w.safetensors')!r}, {{}})"
    plan = _plan(encoder=text.format("adapt=lora(rank=2)"))
    assert plan.experiment.recipe.optimizer.encoder_lr_scale is None
    assert plan.notes == (
        "the encoder is adapted, at the full rate; "
        "--set optimizer.encoder_lr_scale=0.1 adapts it at a tenth",
    )
    shown = " ".join(describe_plan(plan, tmp_path).split())
    assert f"note {plan.notes[0]}" in shown
    assert not _plan(encoder=text.format("freeze=true")).notes
    assert not _plan(encoder="timm(name='test_vit', adapt=lora(rank=2))").notes


def test_a_folder_of_weights_is_trained_at_a_lower_rate_as_well(tmp_path: Path) -> None:
    save_file(timm.create_model("test_resnet").state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"architecture": "test_resnet"}')
    plan = _plan(encoder=f"timm(name='local-dir:{tmp_path}')")
    assert plan.experiment.recipe.optimizer.encoder_lr_scale == 0.1


@pytest.mark.parametrize(
    ("normalize", "options", "given"),
    [("percentile", "", "unit"), ("byte", "", "byte"), ("zscore", "normalize='unit'", "zscore")],
)
def test_other_intensities_than_an_encoder_expects_are_named(
    normalize: str, options: str, given: str, tmp_path: Path
) -> None:
    save_file(timm.create_model("test_resnet").state_dict(), tmp_path / "w.safetensors")
    text = f"timm(name='test_resnet', freeze=true, weights={str(tmp_path / 'w.safetensors')!r}"
    override = f"preprocessing.normalize={normalize}"
    (note,) = _plan(override, encoder=f"{text}, {options or 'tap=None'})").notes
    assert note.endswith(f"gives {given!r}; give the encoder normalize={given!r}")
    assert not _plan(override, encoder=f"{text}, normalize={given!r})").notes
    assert not _plan(override).notes


def test_weights_are_in_the_experiment_by_digest_and_run_at_a_lower_rate(tmp_path: Path) -> None:
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        save_file(timm.create_model("test_resnet").state_dict(), tmp_path / place / "w.safetensors")
    text = "timm(name='test_resnet', weights={!r})"
    plan = _plan(encoder=text.format(str(tmp_path / "a" / "w.safetensors")))
    assert plan.experiment.recipe.optimizer.encoder_lr_scale == 0.1
    assert "optimizer.encoder_lr_scale=0.1" in plan.notes[0]
    assert str(tmp_path) not in json.dumps(plan.experiment.canonical())
    there = experiment_from_json(json.loads(json.dumps(experiment_json(plan.experiment))))
    assert there == plan.experiment  # on another machine, too, the weights are found
    astray = replace(plan.experiment, weights=None)
    with pytest.raises(StateError, match="nothing says where its weights lie"):
        build_network(astray, plan.prepared, choose_compute("cpu", "float32", jobs=1))
    outcome = run(plan, out=tmp_path / "runs", device="cpu", jobs=1)
    assert not outcome.failed
    (tmp_path / "a" / "w.safetensors").unlink()
    assert load_runs(tmp_path / "runs")
    from volbench import Ensemble

    assert Ensemble(outcome.path)  # needs no file of weights


def test_an_ordinal_run_predicts_grades_and_can_be_opened(tmp_path: Path) -> None:
    from volbench.predict.trained_run import load_trained

    rows = ["image,label,patient"]
    for number in range(18):
        voxels = np.random.default_rng(number).normal(size=(16, 16, 3)) + number % 3
        nibabel.save(nibabel.Nifti1Image(voxels, np.diag([1, 1, 5, 1])), tmp_path / f"{number}.nii")
        rows.append(f"{number}.nii,T{number % 3},p{number}")
    (tmp_path / "grades.csv").write_text("\n".join(rows))
    table = str(tmp_path / "grades.csv")
    with pytest.raises(SpecError, match="give it ordered=True"):
        _plan(loss="corn", data=f"manifest(path={table!r})")
    plan = _plan(loss="corn", data=f"manifest(path={table!r}, ordered=true)")
    assert plan.prepared.ordered
    outcome = run(plan, out=tmp_path / "runs", device="cpu", jobs=1)
    assert not outcome.failed
    (row,) = compare(outcome.path)[0].rows
    for metric in ("quadratic_kappa", "grade_error", "ordinal_c_index"):
        assert np.isfinite(row.score(metric).mean)
    card = card_markdown(load_run(outcome.path), resamples=100)
    for heading in ("QWK", "MAE grades", "ord C"):
        assert f"| {heading} |" in card
    network = next(iter(load_trained(outcome.path).networks.values()))
    assert network.conditional
    assert network.head.out_features == 2

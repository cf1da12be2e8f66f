"""`volbench run --profile` and `--compile`, and the warning of bfloat16, as a user meets them."""

import json
import re

import pytest
from click.testing import CliRunner

from tests.helpers.small import write_small
from volbench.cli.main import main
from volbench.crossval import make_plan, run
from volbench.crossval import precision_check as precision
from volbench.crossval.precision_check import check_bfloat16
from volbench.crossval.run_cross_validation import Callback
from volbench.profiling.section_timer import SECTIONS
from volbench.training.device_and_precision import Compute, choose_compute
from volbench.training.precision_selftest import Fault


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_small(tmp_path_factory.mktemp("small") / "data", cases=24).folder


def command(data, out, *options):
    return [
        *("run", "--encoder", "rmc5(width=2)", "--agg", "average", "--loss", "focal"),
        *("--data", str(data), "--folds", "3", "--fold", "0", "--fold", "1", "--jobs", "1"),
        *("--set", "training.epochs=2", "--out", str(out), *options),
    ]


def plan_for(data, **options):
    parts = {"encoder": "rmc5(width=2)", "aggregator": "average", "loss": "focal", "folds": "3"}
    return make_plan(**{**parts, **options}, data=str(data), overrides=("training.epochs=1",))


def test_a_profile_is_shown_section_by_section_and_kept_beside_the_fold(data, tmp_path):
    done = CliRunner().invoke(main, command(data, tmp_path, "--profile"), catch_exceptions=False)
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("─"))
    shares = {}
    for line in lines[start + 1 : start + 2 + len(SECTIONS)]:
        name, _, share, _ = re.split(r"\s{2,}", line.strip())
        shares[name] = float(share.rstrip("%"))
    assert list(shares) == [*SECTIONS, "other"]
    assert sum(shares.values()) == pytest.approx(100, abs=0.5)
    assert lines[start + 2 + len(SECTIONS)].startswith("2 folds")
    assert "volumes per second" in done.stdout
    assert re.search(r"[\d.]+% of the roofline", done.stdout)
    (kept,) = tmp_path.glob("*/folds/00/profile.json")
    assert set(json.loads(kept.read_text())["seconds"]) == {*SECTIONS, "other"}


def test_a_finished_run_shows_the_profile_it_has_or_says_that_it_has_none(data, tmp_path):
    runner = CliRunner()
    plain = runner.invoke(main, command(data, tmp_path / "plain"))
    assert "section" not in plain.stdout
    again = runner.invoke(main, command(data, tmp_path / "plain", "--profile"))
    assert again.exit_code == 0
    assert "no profile: these folds were finished before" in again.stdout
    first = runner.invoke(main, command(data, tmp_path / "profiled", "--profile"))
    second = runner.invoke(main, command(data, tmp_path / "profiled", "--profile"))
    start = first.stdout.index("section")
    assert second.stdout[second.stdout.index("section") :] == first.stdout[start:]


def test_a_damaged_profile_is_named(data, tmp_path):
    runner = CliRunner()
    runner.invoke(main, command(data, tmp_path, "--profile"))
    (kept,) = tmp_path.glob("*/folds/00/profile.json")
    kept.write_text('{"seconds": {}}')
    done = runner.invoke(main, command(data, tmp_path, "--profile"))
    assert done.exit_code == 5
    assert str(kept) in done.stderr.replace("\n", "")


def test_whether_the_encoder_was_compiled_is_recorded(data, tmp_path):
    done = CliRunner().invoke(main, command(data, tmp_path, "--compile", "off"))
    assert done.exit_code == 0
    (kept,) = tmp_path.glob("*/environment.json")
    assert json.loads(kept.read_text())["compiled"] is False


@pytest.mark.slow
def test_a_run_is_compiled_when_asked_and_learns_the_same(data, tmp_path):
    class Reports(Callback):
        def __init__(self):
            self.losses = []

        def on_epoch(self, report):
            self.losses.append(report.loss)

    losses = {}
    for compiled in ("off", "on"):
        reports = Reports()
        plan = plan_for(data, precision="float32")
        done = run(plan, out=tmp_path / compiled, jobs=1, compiled=compiled, callback=reports)
        assert not done.failed
        losses[compiled] = reports.losses
    assert len(losses["on"]) == 3
    assert losses["on"] == pytest.approx(losses["off"], rel=1e-4)


def test_a_fault_of_bfloat16_is_a_warning_with_the_way_out(data, tmp_path, monkeypatch):
    monkeypatch.setattr(
        precision, "tell_fault", lambda layers, compute: str(Fault(layers[0], "result", 0.5))
    )
    done = CliRunner().invoke(main, command(data, tmp_path, "--precision", "bfloat16"))
    assert done.exit_code == 0
    assert (
        "warning: bfloat16 goes wrong on this machine: the result of a 7x7 convolution with stride "
        "2x2, 1 to 2 channels, on 12x12 is off by 50%; use --precision float32, or larger slices"
    ) in done.stderr.replace("\n", "")


def test_float32_is_not_tried(data, monkeypatch):
    monkeypatch.setattr(precision, "tell_fault", lambda *arguments: pytest.fail("tried"))
    plan = plan_for(data)
    assert (
        check_bfloat16(plan.experiment, plan.prepared, choose_compute("cpu", "float32", jobs=1))[1]
        == []
    )


def test_the_sizes_tried_are_those_the_network_sees(data, monkeypatch):
    tried = []
    monkeypatch.setattr(precision, "tell_fault", lambda layers, compute: tried.append(layers))
    plan = plan_for(data)
    check_bfloat16(plan.experiment, plan.prepared, choose_compute("cpu", "bfloat16", jobs=1))
    ((stem, *_),) = tried
    shortest = min(case.slices for case in plan.prepared.cases)
    assert stem.input == (shortest, 1, *plan.prepared.voxels.shape[2:])


def test_on_a_gpu_each_layer_that_goes_wrong_is_computed_in_another_way(data, monkeypatch):
    plan = plan_for(data, encoder="r2d(width=2)")
    wrong = []

    def find_faults(layers, compute):
        wrong[:] = layers[0], layers[-1]
        return [Fault(layer, "result", 0.5) for layer in (*wrong, *wrong)]

    monkeypatch.setattr(precision, "find_faults", find_faults)
    ways = iter(["stacked", "float32"])
    monkeypatch.setattr(precision, "choose_way", lambda fault, compute: next(ways))
    # As for a GPU, but where shapes alone are needed.
    compute, lines = check_bfloat16(plan.experiment, plan.prepared, Compute("meta", "bfloat16", 1))
    shapes = [layer.weight for layer in wrong]
    assert compute.fallbacks == ((shapes[0], "stacked"), (shapes[1], "float32"))
    assert [line.rpartition("; ")[2] for line in lines] == [
        "it is computed from slices stacked with their neighbours instead",
        "it is computed in float32 instead",
    ]


def test_a_foreign_layer_that_goes_wrong_is_a_warning(data, monkeypatch):
    plan = plan_for(data, encoder="timm(name='resnet10t')")
    monkeypatch.setattr(
        precision, "find_faults", lambda layers, compute: [Fault(layers[0], "result", 0.5)]
    )
    monkeypatch.setattr(precision, "choose_way", lambda fault, compute: "float32")
    compute, (line,) = check_bfloat16(
        plan.experiment, plan.prepared, Compute("meta", "bfloat16", 1)
    )
    assert compute.fallbacks == ()
    assert line.endswith("is off by 50%; use --precision float32, or larger slices")

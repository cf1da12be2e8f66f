"""The benchmarks of start-up, the whole run and scaling: what they count, and that they run."""

import argparse
import json
import sys

import numpy as np
import padded_slices
import processes
import pytest
import scaling
import startup
import ten_folds


def test_a_process_is_timed_from_outside_and_heard():
    done = processes.execute(
        [sys.executable, "-c", "import os, time; time.sleep(0.2); print(os.environ['WORD'])"],
        WORD="here",
    )
    assert done.output == "here\n"
    assert done.wall >= 0.2
    assert 0 < done.processor < done.wall
    assert done.seconds("wall") == done.wall
    assert done.seconds("processor") == done.processor


def test_a_process_that_fails_stops_the_benchmark_with_what_it_said():
    command = [sys.executable, "-c", "raise SystemExit('no such thing')"]
    with pytest.raises(RuntimeError, match=r"ended with 1: no such thing"):
        processes.execute(command)


def test_phases_go_from_event_to_event_and_add_up_to_the_whole():
    # Two workers: the first step is the earlier one, training ends with the later fold.
    moments = [
        ("prepare", 103.0),
        ("prepared", 104.5),
        ("planned", 105.0),
        ("first step", 110.0),
        ("first step", 109.0),
        ("fold", 120.0),
        ("fold", 121.0),
        ("audit", 121.5),
        ("done", 124.0),
    ]
    finished = processes.Finished(started=100.0, wall=25.0, processor=40.0, output="")
    found = ten_folds.phases(finished, [{"event": e, "at": at} for e, at in moments])
    assert found == {
        "start-up": 3.0,
        "prepare": 1.5,
        "plan": 0.5,
        "first step": 4.0,
        "training": 12.0,
        "audit": 3.0,
        "end": 1.0,
    }
    assert sum(found.values()) == finished.wall


def test_padding_is_what_a_batch_holds_beyond_its_real_slices():
    slices = np.array([2, 4, 4, 8])
    together, apart = [np.array([0, 3]), np.array([1, 2])], [np.array([0, 1]), np.array([2, 3])]
    # [2, 8] is padded to 16 and [4, 4] to 8: 6 of 24. [2, 4] to 8 and [4, 8] to 16: 6 of 24.
    assert padded_slices.padded_share(slices, [together]) == pytest.approx(6 / 24)
    assert padded_slices.padded_share(slices, [apart, together]) == pytest.approx(12 / 48)
    assert padded_slices.padded_share(slices, [[np.array([1, 2])]]) == 0


def test_packing_computes_real_slices_only_and_sorting_by_slices_pads_less_than_chance():
    random = np.random.default_rng(0)
    slices, labels = random.integers(2, 60, 200), random.integers(0, 2, 200)
    for row in padded_slices.of_cases("drawn", labels, slices):
        assert row["packed"] == 0
        assert row["bucketed"] < row["random"]


def test_work_per_row_is_timed_part_by_part_with_its_memory():
    settings = argparse.Namespace(
        clock="processor", threads=1, size=16, device="cpu", encoder="rmc5", width=2
    )
    found = scaling.work(settings, [2, 3, 2, 3])
    assert found.keys() == {"pack", "open", "epoch", "own MB", "peak MB"}
    assert min(found.values()) > 0
    assert found["own MB"] < found["peak MB"]


def test_what_cannot_run_for_want_of_a_library_says_so_in_one_line(capsys, monkeypatch):
    monkeypatch.setattr(ten_folds, "NEEDED_TO_TRAIN", ("torch", "no_such_module"))
    ten_folds.main(["--toy"])
    assert capsys.readouterr().out == (
        "ten_folds.py: cannot run here: no_such_module not installed\n"
    )


@pytest.mark.parametrize(
    ("trained", "compared", "note"),
    [
        ("torch", "no_such_module", "compare: cannot run here, no_such_module not installed"),
        (
            "no_such_module",
            "torch",
            "compare and the first step: cannot run here, no_such_module not installed",
        ),
    ],
)
def test_start_up_leaves_out_only_what_lacks_a_library(trained, compared, note, monkeypatch):
    monkeypatch.setattr(startup, "NEEDED_TO_TRAIN", (trained,))
    monkeypatch.setattr(startup, "NEEDED_TO_COMPARE", (trained, compared))
    monkeypatch.setattr(startup, "QUICK", {})
    executed = []

    def execute(command, **variables):
        executed.append(command)
        return processes.Finished(started=0.0, wall=1.0, processor=1.0, output="")

    monkeypatch.setattr(startup, "execute", execute)
    table = startup.measure(
        argparse.Namespace(
            data="prepared",
            encoder="r2d",
            device="cpu",
            threads=1,
            rounds=1,
            clock="wall",
            toy=False,
        )
    )
    assert table.notes == [note]
    assert "volbench compare" not in table.seconds
    assert ("volbench run, to its first step" in table.seconds) is (trained == "torch")
    assert any("--encoder" in command for command in executed) is (trained == "torch")


@pytest.mark.slow
def test_start_up_is_measured_to_the_first_step(capsys, tmp_path):
    startup.main(["--toy", "--device", "cpu", "--json", str(tmp_path / "figures.json")])
    text = capsys.readouterr().out
    assert "volbench run, to its first step" in text
    (table,) = json.loads((tmp_path / "figures.json").read_text())["tables"]
    seconds = {name: each["median"] for name, each in table["candidates"].items()}
    assert seconds["volbench --help"] < seconds["import torch"]
    assert seconds["import torch"] < seconds["volbench run, to its first step"]


@pytest.mark.slow
def test_the_whole_run_is_measured_cold_and_warm(capsys, tmp_path):
    ten_folds.main(["--toy", "--device", "cpu", "--json", str(tmp_path / "figures.json")])
    assert "first step" in capsys.readouterr().out
    (table,) = json.loads((tmp_path / "figures.json").read_text())["tables"]
    for row in table["candidates"].values():
        phases = [row[name] for name in ten_folds.PHASES]
        assert min(phases) > 0
        assert sum(phases) == pytest.approx(row["wall s"])


@pytest.mark.slow
def test_scaling_is_measured_over_patients_and_over_slices(capsys, tmp_path):
    scaling.main(["--toy", "--device", "cpu", "--json", str(tmp_path / "figures.json")])
    text = capsys.readouterr().out
    assert "epoch per volume" in text
    assert "epoch per slice" in text
    document = json.loads((tmp_path / "figures.json").read_text())
    assert {row["packed"] for row in document["settings"]["wasted_slices"]} == {0}
    assert len(document["tables"]) == 6

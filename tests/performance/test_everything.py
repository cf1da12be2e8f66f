"""The script that runs all the others."""

from pathlib import Path

import everything
import pytest


def test_every_script_named_is_there_and_takes_the_options_given():
    here = Path(everything.__file__).parent
    for script, *options in (*everything.ON_CPU.values(), *everything.ON_GPU.values()):
        source = (here / script).read_text(encoding="utf-8")
        known = source + (here / "timing.py").read_text(encoding="utf-8")
        for option in options:
            if option.startswith("--"):
                written = option.replace("--no-", "--")  # argparse makes its opposite, too
                assert f'"{written}"' in known, (script, option)


def scripts(monkeypatch, tmp_path, **texts):
    """Have other scripts run instead, given by their text."""
    for name, text in texts.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.setattr(everything, "HERE", tmp_path)
    monkeypatch.setattr(everything, "jobs", lambda: {name: (f"{name}.py",) for name in texts})
    monkeypatch.setattr(everything, "ON_CPU", texts)


def test_a_script_that_fails_stops_none_of_the_others(monkeypatch, tmp_path, capsys):
    show = "import sys; print('a table', sys.argv[-1])"
    scripts(monkeypatch, tmp_path, wrong="print('half'); raise SystemExit(3)", right=show)
    out = tmp_path / "out"
    assert everything.main(["--out", str(out), "--toy"]) == 1
    printed = capsys.readouterr().out
    assert "failed with exit code 3" in printed
    assert "a table --toy\n" in printed
    assert (out / "wrong.txt").read_text() == "half\n"
    assert (out / "right.txt").read_text() == "a table --toy\n"
    assert everything.main(["--out", str(out), "--only", "right"]) == 0


def test_what_does_not_fit_into_the_minutes_is_stopped_or_left_out(monkeypatch, tmp_path, capsys):
    wait = "import time; print('first table'); time.sleep(60)"
    scripts(monkeypatch, tmp_path, long=wait, late="print('never')")
    monkeypatch.setattr(everything, "SHORTEST_S", 0.5)
    out = tmp_path / "out"
    assert everything.main(["--out", str(out), "--minutes", "0.02"]) == 0
    printed = capsys.readouterr().out
    assert "long" in printed
    assert "stopped, the minutes are over" in printed
    assert "late                        left out: the minutes are over" in printed
    assert (out / "long.txt").read_text() == "first table\n"
    assert not (out / "late.txt").exists()


SCRIPTS = [
    pytest.param(name, command, id=f"{name}-{device}")
    for device, scripts in (("cpu", everything.ON_CPU), ("gpu", everything.ON_GPU))
    for name, command in scripts.items()
    if device == "cpu" or everything.ON_CPU.get(name) != command
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "command"), SCRIPTS)
def test_each_of_them_runs_at_toy_size(name, command, tmp_path, monkeypatch):
    """Those of a GPU run on a CPU, too, with all their options."""
    monkeypatch.setattr(everything, "jobs", lambda: {name: command})
    assert everything.main(["--out", str(tmp_path), "--toy", "--only", name]) == 0
    assert [path.name for path in tmp_path.glob("*.json")] == [f"{name}.json"]

"""The script that runs all the others."""

import subprocess
from pathlib import Path
from types import SimpleNamespace

import everything
import pytest


def test_every_script_named_is_there_and_takes_the_options_given():
    here = Path(everything.__file__).parent
    for script, *options in (*everything.ON_CPU.values(), *everything.ON_GPU.values()):
        source = (here / script).read_text(encoding="utf-8")
        known = source + (here / "timing.py").read_text(encoding="utf-8")
        for option in options:
            if option.startswith("--"):
                assert f'"{option}"' in known, (script, option)


def test_a_script_that_fails_stops_none_of_the_others(monkeypatch, tmp_path, capsys):
    commands = []

    def run(command, stdout, **options):
        commands.append(command)
        stdout.write("a table\n")
        return SimpleNamespace(returncode=3 if "pipeline.py" in command[1] else 0)

    monkeypatch.setattr(subprocess, "run", run)
    assert everything.main(["--out", str(tmp_path), "--toy"]) == 1
    assert len(commands) == len(everything.jobs())
    assert all(command[-1] == "--toy" for command in commands)
    assert "failed with exit code 3" in capsys.readouterr().out
    assert (tmp_path / "pipeline.txt").read_text() == "a table\n"
    monkeypatch.setattr(everything, "jobs", lambda: {"startup": ("startup.py",)})
    assert everything.main(["--out", str(tmp_path), "--only", "startup"]) == 0


@pytest.mark.slow
def test_all_of_them_run_at_toy_size(tmp_path):
    assert everything.main(["--out", str(tmp_path), "--toy"]) == 0
    assert {path.stem for path in tmp_path.glob("*.json")} == set(everything.jobs())

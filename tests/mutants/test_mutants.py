"""The list of planted faults: every entry still applies, and the runner tells what survives."""

import ast
import subprocess
import sys
from collections import Counter

import pytest

from tests.mutants import run as runner
from tests.mutants.run import CAUGHT, ROOT, SURVIVED, read_mutants, report

MUTANTS = read_mutants()


def test_there_are_two_hundred_or_more_and_none_twice():
    assert len(MUTANTS) >= 200
    twice = Counter((mutant.file, mutant.old, mutant.new) for mutant in MUTANTS)
    assert max(twice.values()) == 1


@pytest.mark.parametrize("file", sorted({mutant.file for mutant in MUTANTS}))
def test_every_fault_applies_and_is_still_python(file):
    text = (ROOT / file).read_text(encoding="utf-8")
    for mutant in MUTANTS:
        if mutant.file == file:
            assert text.count(mutant.old) == 1, mutant
            assert mutant.new != mutant.old
            ast.parse(text.replace(mutant.old, mutant.new))


def test_the_tests_of_every_fault_exist():
    for mutant in MUTANTS:
        for test in mutant.tests:
            name, _, function = test.partition("::")
            path = ROOT / name
            assert path.exists(), test
            if function:
                assert f"def {function.partition('[')[0]}(" in path.read_text(encoding="utf-8")


def test_a_fault_is_tried_again_when_a_test_of_its_room_has_changed(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "ROOT", tmp_path)
    (tmp_path / "two.py").write_text("two = 2\n")
    (tmp_path / "room").mkdir()
    (tmp_path / "room" / "test_two.py").write_text("def test_two(): pass\n")
    for tests in (("room",), ("room/test_two.py",), ("room/test_two.py::test_two",)):
        mutant = runner.Mutant("two.py", "2", "3", "wrong", tests)
        before = mutant.key
        assert mutant.key == before
        with (tmp_path / "room" / "test_two.py").open("a") as file:
            file.write("# another\n")
        assert mutant.key != before


@pytest.mark.parametrize(("new", "kind"), [("return 3", CAUGHT), ("return 1 + 1", SURVIVED)])
def test_a_fault_is_caught_where_a_test_notices_and_the_file_is_put_back(new, kind, tmp_path):
    (tmp_path / "volbench").mkdir()
    (tmp_path / "tests").mkdir()
    source = tmp_path / "volbench" / "two.py"
    source.write_text("def two():\n    return 2\n")
    (tmp_path / "volbench" / "__init__.py").write_text("")
    (tmp_path / "pyproject.toml").write_text('[tool.pytest.ini_options]\nmarkers = ["slow"]\n')
    (tmp_path / "tests" / "test_two.py").write_text(
        "from volbench.two import two\n\n\ndef test_two():\n    assert two() == 2\n"
    )
    code = (
        "import sys; from pathlib import Path; from tests.mutants.run import Mutant, try_mutant\n"
        "tests = ('tests/test_two.py',)\n"
        "mutant = Mutant('volbench/two.py', 'return 2', sys.argv[2], 'wrong', tests)\n"
        "print(try_mutant(mutant, Path(sys.argv[1]), limit_s=100))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), new], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout.strip() == kind, done.stderr + (tmp_path / ".out").read_text()
    assert source.read_text() == "def two():\n    return 2\n"


def test_less_than_95_of_a_hundred_is_a_failure(capsys):
    mutants = MUTANTS[:20]
    assert report([(mutant, CAUGHT) for mutant in mutants]) == 0
    assert report([(mutant, CAUGHT) for mutant in mutants[2:]] + [(mutants[0], SURVIVED)] * 2) == 1
    assert mutants[0].why in capsys.readouterr().out

"""Small mistakes end in one line, with the right exit code, before anything is trained."""

import io
import sys

import pytest

from tests.helpers.small import write_small
from tests.helpers.volumes_on_disk import image, voxels, write
from volbench.cli.main import main
from volbench.errors import SpecError, UsageError
from volbench.experiment.recipe import load_recipe

TINY = ["run", "--encoder", "r2d(width=2)", "--agg", "max", "--loss", "focal"]


def ended(capsys, *arguments: str) -> tuple[int, str]:
    """Exit code of a command, and what it said last."""
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    said = capsys.readouterr()
    assert "Traceback" not in said.out + said.err
    return int(ended.value.code or 0), said.err.strip().splitlines()[-1]


@pytest.fixture
def cohort(tmp_path, monkeypatch):
    """Twelve small volumes and a function that writes their manifest, with more columns."""
    monkeypatch.setenv("VOLBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    for number in range(12):
        write(tmp_path / f"{number}.nii", image(voxels(kind="<f4") * (1 + number)))

    def manifest(column: str, value) -> str:
        lines = [f"image,label,patient,{column}"]
        lines += [f'{n}.nii,{"ab"[n % 2]},p{n},"{value(n)}"' for n in range(12)]
        (tmp_path / "m.csv").write_bytes("\n".join([*lines, ""]).encode())
        return "m.csv"

    return manifest


@pytest.mark.parametrize(
    ("fold", "reason"),
    [
        (lambda n: "test", "no case is left to train on"),
        (lambda n: "val" if n % 2 else "test", "no case is left to train on"),
        (lambda n: "trian" if n % 2 else "test", "'trian' is neither a number nor train"),
    ],
)
def test_folds_that_train_on_nothing_are_refused_in_one_line(fold, reason, cohort, capsys):
    data = cohort("fold", fold)
    code, said = ended(capsys, *TINY, "--data", data, "--folds", "official", "--dry-run")
    assert code == 3
    assert reason in said


@pytest.mark.parametrize("names", [("1", "2", "3"), ("0", "9" * 31, "7"), ("east", "west", "x")])
def test_any_names_of_folds_are_numbered_from_0(names, cohort):
    from volbench.crossval.plan import make_plan

    data = cohort("fold", lambda n: names[n // 4])
    plan = make_plan(
        encoder="r2d(width=2)",
        aggregator="max",
        loss="focal",
        data=data,
        folds="official",
        allow_duplicates=True,
    )
    assert plan.split.folds == (0, 1, 2)
    held_out = plan.part(0).test
    first = names[0] if names[0].isdecimal() else "east"
    assert {plan.prepared.cases[n].fold for n in held_out} == {first}


@pytest.mark.parametrize("name", ["a\rb", "a\x1b[31mb", "a\u202eb"])
def test_a_control_character_in_a_name_is_refused_and_shown_as_an_escape(name, cohort, capsys):
    data = cohort("case", lambda n: f"{name}{n}")
    code, said = ended(capsys, *TINY, "--data", data, "--folds", "3", "--dry-run")
    assert code == 3
    escaped = name.encode("unicode_escape").decode("ascii")
    assert f"the cell '{escaped}0' holds a control character" in said
    assert name[1] not in said


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x=" + "[" * 5000 + "]" * 5000, "nested too deeply"),
        ("base='standard'\n[training]\nepochs=" + "9" * 5000, "not valid TOML"),
        ("base='standard'\n[training]\nepochs=" + "9" * 400, "training.epochs=9999"),
    ],
)
def test_a_recipe_or_suite_beyond_limits_is_refused_in_one_line(text, reason, tmp_path, capsys):
    path = tmp_path / "r.toml"
    path.write_text(text)
    code, said = ended(capsys, *TINY, "--recipe", str(path), "--dry-run")
    assert (code, len(said) < 400) == (4, True)
    assert reason in said
    code, said = ended(capsys, "suite", "run", str(path))
    assert code == 4


@pytest.mark.parametrize(
    "setting",
    [
        "optimizer.lr=inf",
        "optimizer.lr=nan",
        "training.epochs=true",
        "training.epochs='5'",
        "training.epochs=5.0",
        "training.batch_size=100000000000000000000",
        "optimizer.weight_decay=true",
        "schedule.patience=true",
        "preprocessing.size=true",
        "preprocessing.size='64'",
        "training.epochs=1\noptimizer.lr=2",
    ],
)
def test_a_value_of_another_type_or_without_bounds_is_refused(setting):
    with pytest.raises((SpecError, UsageError)):
        load_recipe("standard", (setting,))


def test_seconds_between_checkpoints_are_a_number(capsys):
    code, said = ended(capsys, *TINY, "--checkpoint-seconds", "nan")
    assert code == 2
    assert "not a finite number" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--auc", "0,85"), "'--auc': '0,85' is not a number; write 0.85."),
        (("--auc", "high"), "'--auc': 'high' is not a number."),
        (("--candidates", "2,5"), "'--candidates': '2,5' is not a whole number."),
    ],
)
def test_a_text_that_is_no_number_is_told_so_in_plain_words(words, said, capsys):
    code, line = ended(capsys, "plan", "phantom", *words)
    assert code == 2
    assert said in line


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--fold", "7"), "--fold 7: the folds are numbered 0 to 2"),
        (("--repeats", "99999999999999999999"), "is not in the range 1<=x<=1000"),
    ],
)
def test_a_dry_run_refuses_folds_and_repeats_that_cannot_be(words, said, tmp_path, capsys):
    data = str(write_small(tmp_path / "data", cases=12).folder)
    code, line = ended(capsys, *TINY, "--data", data, "--folds", "3", "--dry-run", *words)
    assert code == 2
    assert said in line


@pytest.mark.parametrize(
    ("name", "said"),
    [("x" * 300, "has 300 bytes; at most 200"), ("a\x1bb", "'a\\x1bb' holds a control character")],
)
def test_a_run_is_not_called_what_no_folder_can_be_called(name, said, capsys):
    code, line = ended(capsys, *TINY, "--name", name, "--dry-run")
    assert code == 2
    assert said in line


def test_a_command_to_type_next_quotes_what_a_shell_would_split(tmp_path, capsys):
    folder = tmp_path / "my data"
    main(["data", "phantom", str(folder), "--patients", "2"], standalone_mode=False)
    said = capsys.readouterr().out
    assert said.endswith(f"next: volbench data check '{folder}/manifest.csv'\n")


def test_a_terminal_without_unicode_gets_escapes(monkeypatch):
    buffer = io.BytesIO()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(buffer, encoding="cp1252"))
    with pytest.raises(SystemExit):
        main([*TINY, "--recipe", "模型"])
    sys.stderr.flush()
    assert rb"\u6a21" in buffer.getvalue()


def test_of_many_problems_ten_are_printed_and_all_are_kept(tmp_path, capsys):
    path = tmp_path / "m.csv"
    path.write_text("image,label,patient\n" + "x.nii,,\n" * 50)
    with pytest.raises(SystemExit):
        main(["data", "check", str(path)])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 11
    kept = lines[-1].split("all of them: ")[1]
    with open(kept, encoding="utf-8") as file:
        assert sum(1 for _ in file) > 50

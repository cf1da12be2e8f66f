"""The Python that the manual shows runs as it stands, on data small enough to train in seconds."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.predict.trained_runs import CASES, QUICK, write_volumes

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"
BLOCKS = [
    code
    for page in ("python.md", "model-card.md")
    for code in re.findall(
        r"^```python\n(.*?)^```", (HOW_TO / page).read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
]

# What makes a shown call short: another encoder, two folds, an epoch, one process.
SHORTER = {
    'encoder="rmc5"': 'encoder="rmc5(width=2)"',
    'name="mine"': f'name="mine", folds=2, jobs=1, overrides={QUICK!r}',
    'choose_split("10"': 'choose_split("2"',
    "run_suite(suite)": "run_suite(suite, jobs=1)",
    "prob_malignant": "prob_T3",
}

SUITE = f"""
title = "Small"
folds = 2
data = "manifest.csv"
set = {list(QUICK)!r}

[[table]]
title = "Pooling"
encoder = "rmc5(width=2)"
aggregator = "average"
loss = "focal"
"""


# What is looked at after a block, as Python, with the names that the block leaves.
ASKED = {
    "volbench.run(": "[str(done.path), len(done.failed)]",
    "savefig": "[len(runs.leaderboard), runs.leaderboard['folds'][0]]",
    "volbench.info": "volbench.list('encoders').names",
    "known =": "[len(known), 'slice_mm' in known]",
    "runs.pairs": "len(runs.summary)",
    "Ensemble": "sorted(predicted.probabilities)",
    "run_suite": "[result.error for result in results]",
    "score_audit": "len(prepared.cases)",
    "export_onnx": "[str(exported.path), exported.difference < 1e-4]",
    "make_report": "None",
    "write_text(card_markdown": "None",
    "card = ": "'threshold youden' in card",
}

# Their ways are tried elsewhere too, by what is called and by the command of the same name.
SLOW = ("savefig", "run_suite", "export_onnx", "make_report")

# Run by an interpreter of its own, as a reader would, without the checks of this test run.
DRIVER = """
import contextlib, io, json, sys
for code, question in json.load(open(sys.argv[1])):
    out, scope = io.StringIO(), {"__name__": "shown"}
    with contextlib.redirect_stdout(out):
        exec(compile(code, "python.md", "exec"), scope)
    print(json.dumps([eval(question, scope), out.getvalue()]))
"""


def block(word):
    """The one block that holds a word."""
    (found,) = [code for code in BLOCKS if word in code]
    return found


def shortened(code):
    for shown, short in SHORTER.items():
        code = code.replace(shown, short)
    return code


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a manifest and a suite."""
    folder = tmp_path_factory.mktemp("python")
    volumes = write_volumes(folder / "my")
    (volumes / "plain.csv").rename(volumes / "manifest.csv")
    (volumes / "suite.toml").write_text(SUITE)
    return folder


@pytest.fixture(scope="module")
def answers(folder):
    """The answer to each question, and what its block printed."""
    return asked(folder, [word for word in ASKED if word not in SLOW])


@pytest.fixture(scope="module")
def slow_answers(folder, answers):
    """The same of the blocks that take long; they use the run that the others left."""
    return asked(folder, SLOW)


def asked(folder, words):
    tasks = [(shortened(block(word)), ASKED[word]) for word in words]
    (folder / "tasks.json").write_text(json.dumps(tasks))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", DRIVER, "tasks.json"],
        cwd=folder,
        env={**os.environ, "MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return dict(zip(words, lines, strict=True))


def test_every_block_of_the_pages_is_run_and_is_three_lines():
    assert sorted(map(block, ASKED)) == sorted(BLOCKS)
    for code in BLOCKS:
        joined = re.sub(r"\(\n.*?\n\)", "()", code, flags=re.DOTALL).splitlines()
        body = [line for line in joined if line and not line.startswith(("import", "from"))]
        assert len(body) <= 3, code


def test_the_shown_call_makes_a_run_that_the_others_use(answers, folder):
    assert answers["volbench.run("][0] == ["runs/mine", 0]
    assert (folder / "runs" / "mine" / "folds" / "01" / "result.json").is_file()


@pytest.mark.slow
def test_three_lines_make_a_figure(slow_answers, folder):
    assert slow_answers["savefig"][0] == [1, "2/2"]
    assert (folder / "auc.png").read_bytes().startswith(b"\x89PNG")


def test_components_are_listed_and_described(answers):
    names, printed = answers["volbench.info"]
    assert "rmc5" in names
    assert "training.epochs" in printed


def test_frames_merge_by_their_common_columns(answers):
    assert answers["known ="][0] == [CASES, True]
    assert "T3" in answers["known ="][1]


def test_a_comparison_is_printed(answers):
    rows, printed = answers["runs.pairs"]
    assert rows == 1
    assert "mine" in printed


def test_predictions_name_every_case_and_class(answers):
    classes, printed = answers["Ensemble"]
    assert classes == ["T2", "T3"]
    assert len(printed.splitlines()) == CASES


@pytest.mark.slow
def test_a_suite_is_run_and_shown(slow_answers):
    errors, printed = slow_answers["run_suite"]
    assert errors == [None]
    assert "Pooling" in printed


def test_an_audit_says_what_it_found(answers):
    assert answers["score_audit"][0] == CASES
    assert answers["score_audit"][1].strip()


@pytest.mark.slow
def test_an_export_is_checked(slow_answers, folder):
    path, close = slow_answers["export_onnx"][0]
    assert close
    assert (folder / path).is_file()


@pytest.mark.slow
def test_a_report_is_written(slow_answers, folder):
    assert (folder / "report.html").read_text(encoding="utf-8").startswith("<!")


def test_a_card_is_written(answers, folder):
    assert (folder / "card.md").read_text(encoding="utf-8").startswith("# Model card: mine\n")
    assert answers["card = "][0] is True

"""Every reader, given anything: what it reads, or an error of our own, and nothing else."""

import contextlib

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.helpers.small import small_case
from volbench._utils.toml_text import read_toml
from volbench.audit import Audit
from volbench.audit.store import read_audit
from volbench.datasets.manifest import Manifest
from volbench.errors import VolbenchError
from volbench.evaluation.metrics.thresholds import ThresholdRule
from volbench.experiment.recipe import load_recipe
from volbench.experiment.split_designs import choose_split, read_split
from volbench.runs.cases_file import read_cases
from volbench.runs.folder import RunFolder, read_json
from volbench.runs.predictions_file import read_predictions
from volbench.runs.splits_file import read_splits
from volbench.spec import parse, parse_sum
from volbench.suite.file import read_suite_file
from volbench.training.checkpoint import read_checkpoint

FUZZ = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
PIECES = st.sampled_from(
    [
        *("focal", "triplet", "(", ")", "=", "+", "*", "0.5", "gamma", ",", "'", '"', "\\", "\n"),
        *("[", "]", "{", "}", "case", "fold", "patient", "label", "image", "prob_a", ";", "\x00"),
        *("1e999", "-", "nan", "\r", "\ufeff", "\u202e", "é", "#", "training.epochs", "9" * 30),
    ]
)
TEXT = st.one_of(st.text(max_size=30), st.lists(PIECES, max_size=25).map("".join))
BYTES = st.one_of(st.binary(max_size=60), TEXT.map(lambda text: text.encode(errors="ignore")))
CASES = tuple(small_case(number) for number in range(4))


@FUZZ
@example("(" * 3000)
@example("a(x=" + "-" * 3000 + "1)")
@example("a(x=1" + "0" * 5000 + ")")
@given(TEXT)
def test_specs(text):
    for read in (parse, parse_sum, ThresholdRule.parse, lambda text: choose_split(text, CASES, 0)):
        with contextlib.suppress(VolbenchError):
            read(text)


@FUZZ
@given(TEXT, TEXT)
def test_settings_and_toml(key, value):
    for override in (f"{key}={value}", f"training.epochs={value}", f"optimizer.lr={value}", value):
        with contextlib.suppress(VolbenchError):
            load_recipe("standard", (override,))
    with contextlib.suppress(VolbenchError):
        read_toml(key, "text")


@FUZZ
@given(TEXT)
def test_tables_of_a_run(text):
    for read in (read_predictions, read_cases, Audit.from_csv):
        with contextlib.suppress(ValueError):  # what their callers name the file of
            read(text)


@FUZZ
@example(b"\xff\xfe\x00")
@example(b"image,label,patient\n" + b"x" * 200_000)
@example(b'image,label,patient\n"a')
@given(BYTES)
def test_files(tmp_path, content):
    for name, read in {
        "m.csv": lambda path: Manifest(path=str(path)),
        "split.csv": lambda path: read_split(path, CASES),
        "splits.csv": read_splits,
        "audit.csv": read_audit,
        "recipe.toml": lambda path: load_recipe(str(path)),
        "suite.toml": read_suite_file,
        "experiment.json": lambda path: (read_json(path), RunFolder(path.parent).numbers()),
    }.items():
        path = tmp_path / name
        path.write_bytes(content)
        with contextlib.suppress(VolbenchError):
            read(path)


@FUZZ
@given(BYTES)
def test_a_checkpoint_that_is_none_is_a_fresh_start(tmp_path, content):
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(content)
    model = torch.nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    assert read_checkpoint(path, "x", {"model": model}, optimizer)[0].epoch == 0


@pytest.mark.parametrize("text", ["", "\n", "a,b\n", "case,fold\n0\n"])
def test_what_is_no_table_of_a_run_is_said_to_be_none(tmp_path, text):
    path = tmp_path / "splits.csv"
    path.write_text(text)
    with contextlib.suppress(VolbenchError):
        assert read_splits(path) == []

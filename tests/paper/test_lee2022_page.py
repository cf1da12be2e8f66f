"""The page on Lee et al. 2022 keeps its word: recipes, files, specs and figures are as it says."""

import inspect
import re
import tomllib
from fractions import Fraction
from importlib import resources
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from released_formulas import CENTER, FOCAL, TRIPLET
from scipy import stats

from volbench.augmentations.lee2022 import Lee2022
from volbench.experiment.recipe import Optimizer, load_recipe
from volbench.interfaces import Aggregator, Augmentation, Problem
from volbench.losses.weighted_sum import build_loss
from volbench.plugins.registry import aggregators, augmentations
from volbench.spec import parse_sum

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "explanation" / "lee2022.md").read_text(encoding="utf-8")
PUBLISHED = pd.read_csv(
    str(resources.files("volbench.leaderboard.published.tables") / "rectal2022.csv")
)
NOTHING = "–"


def table_under(heading):
    """Cells of the table in a section, without its head."""
    section = re.split(rf"\n##+ {re.escape(heading)}\n", PAGE)[1].split("\n##")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")][2:]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]


TOPICS = (
    "The network",
    "Losses",
    "Pooling of slices",
    "Data and augmentation",
    "Training",
    "Testing",
)
ROWS = [row for heading in TOPICS for row in table_under(heading)]


def keys_of(name):
    """What a recipe's own file says, by dotted key."""
    text = (resources.files("volbench.experiment.recipes") / f"{name}.toml").read_text(
        encoding="utf-8"
    )
    values = tomllib.loads(text)
    sections = {key: value for key, value in values.items() if isinstance(value, dict)}
    return {f"{s}.{key}": v for s, section in sections.items() for key, v in section.items()}


def test_the_recipes_choose_what_the_page_says_and_nothing_else():
    said = {key.strip("`"): cells for key, *cells in table_under("What the two recipes choose")}
    for column, name in enumerate(("lee2022", "lee2022_code")):
        shown = {
            key: tomllib.loads(f"value = {cells[column].strip('`')}")["value"]
            for key, cells in said.items()
            if cells[column] != NOTHING
        }
        assert shown == keys_of(name), name
    assert list(said) == list(dict.fromkeys(chain(keys_of("lee2022"), keys_of("lee2022_code"))))


def test_both_recipes_train_with_the_optimiser_that_is_checked_against_numpy():
    checked = Optimizer(name="sgd", lr=0.01, momentum=0.9, weight_decay=0.01)
    for name in ("lee2022", "lee2022_code"):
        assert load_recipe(name).optimizer == checked


def test_every_file_it_names_exists():
    in_text = re.findall(r"`((?:volbench|tests|benchmarks|docs)/[^`\s]+)`", PAGE)
    in_tables = {name for row in ROWS for name in re.findall(r"`([\w/]+\.(?:py|csv))`", row[-1])}
    assert len(in_text) >= 7
    assert len(in_tables) > 20
    missing = [name for name in in_text if not (ROOT / name).exists()]
    for name in in_tables:
        folder = "tests" if "/test_" in name or name.startswith("test_") else "volbench"
        missing += [] if (ROOT / folder / name).exists() else [name]
    assert not missing


def test_every_row_names_an_option_or_a_file_and_the_letters_are_explained():
    explained = set(re.findall(r"^- \*\*([A-Z])\*\* `tests/", PAGE, re.MULTILINE))
    used = {letter for row in ROWS for letter in re.findall(r"\*\*([A-Z])\*\*", row[-1])}
    assert used == explained
    assert len(ROWS) > 30
    for row in ROWS:
        assert len(row) == 5, row
        assert "`" in row[-1], row


def test_the_losses_and_poolings_it_writes_down_can_be_built():
    losses = re.findall(r'^    "(.+)"$', PAGE, re.MULTILINE)
    losses += re.findall(r"`((?:[0-9.]+\*)?(?:focal|triplet|center)\([^`]*\))`", PAGE)
    assert len(losses) == 4
    for text in losses:
        assert build_loss(parse_sum(text), Problem((4, 4), 8)) is not None
    for text in re.findall(r"`(bilinear\([^`]*\))`", PAGE):
        assert aggregators.build(text, Aggregator, 8).num_features == 36


def test_the_suite_of_the_released_code_has_the_losses_that_are_checked_against_numpy():
    text = (ROOT / "benchmarks" / "rectal2022" / "authors.toml").read_text(encoding="utf-8")
    listed = re.findall(r'"(focal\([^"]*)"', text)
    assert {str(parse_sum(loss)) for loss in listed} == {
        str(parse_sum(loss)) for loss in (FOCAL, f"{FOCAL}+{TRIPLET}", f"{FOCAL}+{CENTER}")
    }


def test_the_strengths_of_the_fourteen_are_the_defaults():
    default = {name: p.default for name, p in inspect.signature(Lee2022).parameters.items()}
    options = " ".join(row[-1] for row in table_under("The fourteen augmentations"))
    shown = re.findall(r"`(\w+)=([\d./]+)`", options)
    assert len(shown) == 22
    assert {name: float(Fraction(value)) for name, value in shown} == {
        name: pytest.approx(default[name]) for name, _ in shown
    }
    for name, box in (("lee2022", False), ("lee2022_code", True)):
        built = augmentations.build(load_recipe(name).training.augmentation, Augmentation)
        assert isinstance(built, Lee2022)
        assert built.box is box


def auc(**row):
    wanted = PUBLISHED
    for column, value in row.items():
        wanted = wanted[wanted[column].isna() if value is None else wanted[column] == value]
    return tuple(wanted.iloc[0][["auc_mean", "auc_std"]].astype(float))


SLICE, VOLUME = {"table": 3, "encoder": "rmc5"}, {"table": 4, "encoder": "rmc5"}
GAPS = {
    "`rmc5`, `r2d`": [auc(table=2, encoder="rmc5"), auc(table=2, encoder="r2d")],
    "`focal+triplet`, `focal`": [auc(**SLICE, loss=x) for x in ("focal+triplet", "focal")],
    "`focal`, `focal+center`": [auc(**SLICE, loss=x) for x in ("focal", "focal+center")],
    **{
        f"`bilinear`, `{other}`": [auc(**VOLUME, aggregator=x) for x in ("bilinear", other)]
        for other in ("average", "attention", "max")
    },
    "`rmc5`, `r3d`": [auc(table=2, encoder="rmc5"), auc(table=2, encoder="r3d")],
    "`rmc5`, `mc5`": [auc(table=2, encoder="rmc5"), auc(table=2, encoder="mc5")],
}


def decimals(value, digits):
    return f"{value:.{digits}f}".replace("0.", ".", 1).replace("-", "−")


def row_of(first, second, factor):
    """As the page derives it: what s may be, and the correlation that makes it so."""
    difference = first[0] - second[0]
    largest = difference / factor
    one, two = (std * np.sqrt(10 / 9) for _, std in (first, second))
    correlation = (one**2 + two**2 - largest**2) / (2 * one * two)
    means = " − ".join(decimals(mean, 3) for mean, _ in (first, second))
    needed = "none suffices" if correlation > 1 else decimals(correlation, 3)
    assert (correlation > 1) == (abs(one - two) > largest)
    return [means, decimals(difference, 3), decimals(largest, 4), needed]


def test_what_ten_folds_can_tell_apart_is_worked_out_from_the_formula():
    student = stats.t.ppf(0.975, df=9)
    root = np.sqrt(1 / 10 + 1 / 9)
    shown = re.search(r"> ([\d.]+) \\times ([\d.]+)\\, s = ([\d.]+)\\, s", PAGE).groups()
    assert shown == (f"{student:.3f}", f"{root:.4f}", f"{student * root:.2f}")
    assert f"= {student * np.sqrt(1 / 10):.2f}\\, s$" in PAGE
    cells = table_under("What ten folds can tell apart")
    assert cells == [[name, *row_of(*both, student * root)] for name, both in GAPS.items()]
    assert min(float(row[-1]) for row in cells[:6] if row[-1] != "none suffices") > 0.97


def test_differences_of_that_size_have_a_p_value_of_one_in_twenty():
    """The corrected test by simulation of nothing: d of mean 1.04 s, put into the formula."""
    d = np.random.default_rng(0).normal(size=10)
    d += 1.0393894872 * d.std(ddof=1) - d.mean()
    t = d.mean() / np.sqrt((1 / 10 + 57 / 513) * d.var(ddof=1))
    assert 2 * stats.t.sf(t, df=9) == pytest.approx(0.05, rel=1e-6)

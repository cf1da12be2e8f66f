"""The clinical summary of run folders, against their files."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import statsmodels.api as sm
from click.testing import CliRunner

from tests.helpers.written_runs import write_rival
from volbench.cli.main import main
from volbench.errors import UsageError
from volbench.evaluation.clinical.calibration import calibration_line
from volbench.evaluation.clinical.conformal import conformal_sets
from volbench.evaluation.clinical.summary import THRESHOLDS, clinical_summary
from volbench.evaluation.statistics.patient_bootstrap import clusters_of
from volbench.leaderboard.render.clinical import clinical_json, clinical_tables
from volbench.runs.load import load_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_rival(tmp_path_factory.mktemp("runs"), "mine", signal=1.5, patients=120)


def test_everything_follows_from_the_predictions(run):
    found = clinical_summary(load_run(run), prevalences=(0.1,), missed=4, resamples=200)
    labels, p = found.items.labels, found.items.probabilities[:, 1]
    assert found.sensitivity[0] == pytest.approx((p[labels == 1] >= 0.5).mean())
    assert found.sensitivity[1] < found.sensitivity[0] < found.sensitivity[2]
    own, rare = found.at
    assert own.prevalence == pytest.approx(labels.mean())
    assert rare.ppv[0] < own.ppv[0]
    assert own.ppv[0] == pytest.approx(labels[p >= 0.5].mean())
    point = next(each for each in found.curve if each.threshold == 0.5)
    assert point.model[0] == pytest.approx(
        ((p >= 0.5) & (labels == 1)).mean() - ((p >= 0.5) & (labels == 0)).mean()
    )
    assert point.treat_all == pytest.approx(2 * labels.mean() - 1)
    before, after = found.calibration
    assert after is not None
    assert abs(after.line.slope - 1) < abs(before.line.slope - 1) + 0.3
    assert min(found.conformal.coverage) > 0.75
    again = clinical_summary(load_run(run), prevalences=(0.1,), missed=4, resamples=200)
    assert again.at == found.at


def inner_part(run, fold):
    """Labels and probabilities of the second class in a fold's inner part."""
    rows = run.validation[fold]
    labels = np.array([run.classes.index(row.label) for row in rows])
    return labels, np.array([row.probabilities[1] for row in rows])


def test_intervals_are_the_middle_of_what_drawn_patients_give(run):
    found = clinical_summary(load_run(run), resamples=300, alpha=0.2, seed=3)
    sick, called = found.items.labels == 1, found.items.probabilities[:, 1] >= 0.5
    drawn = clusters_of(found.items.labels, np.array(found.items.patients)).draws(300, 3)
    weights = np.concatenate(list(drawn))
    rates = weights @ (sick & called) / (weights @ sick)
    assert found.sensitivity[1:] == pytest.approx(tuple(np.quantile(rates, [0.1, 0.9])))
    for point in found.curve:
        t = point.threshold
        treated = found.items.probabilities[:, 1] >= t
        worth = treated * np.where(sick, 1, -t / (1 - t))
        all_treated = np.where(sick, 1, -t / (1 - t))
        gains = weights @ worth / 120 - np.maximum(weights @ all_treated / 120, 0)
        assert point.gain[0] == pytest.approx(worth.mean() - max(all_treated.mean(), 0))
        assert point.gain[1:] == pytest.approx(tuple(np.quantile(gains, [0.1, 0.9])))
    assert [point.threshold for point in found.curve] == list(THRESHOLDS)


def test_more_slices_of_the_same_patients_add_no_certainty(run):
    """Each patient is drawn whole, and counts once for the size of a subgroup."""

    def slices(rows, number):
        return [replace(row, slice=n) for row in rows for n in range(number)]

    once, thrice = (
        replace(
            loaded,
            predictions={fold: slices(rows, n) for fold, rows in loaded.predictions.items()},
            validation={fold: slices(rows, n) for fold, rows in loaded.validation.items()},
        )
        for loaded in [load_run(run)]
        for n in (1, 3)
    )
    one, three = (
        clinical_summary(each, unit="slice", columns=("site",), resamples=200)
        for each in (once, thrice)
    )
    assert len(three.items.labels) == 3 * len(one.items.labels)
    assert three.sensitivity == pytest.approx(one.sensitivity)
    assert three.curve[3].model == pytest.approx(one.curve[3].model)
    assert three.gaps["site"].p == one.gaps["site"].p


def test_recalibration_learns_on_the_inner_part_of_each_fold(tmp_path):
    # Weak enough that no inner part is separated: that would leave its fold as it is.
    loaded = load_run(write_rival(tmp_path, "weak", signal=0.7, patients=120))
    found = clinical_summary(loaded, resamples=100)
    p = found.items.probabilities[:, 1].copy()
    for fold in range(5):
        labels, own = inner_part(loaded, fold)
        x = np.log(own / (1 - own))
        fitted = sm.GLM(labels, sm.add_constant(x), family=sm.families.Binomial()).fit()
        mine = found.items.folds == fold
        p[mine] = fitted.predict(sm.add_constant(np.log(p[mine] / (1 - p[mine]))))
    expected = calibration_line(found.items.labels, p)
    line = found.calibration[1].line
    assert (line.intercept, line.slope) == pytest.approx((expected.intercept, expected.slope))


def test_sets_are_calibrated_on_the_inner_part_of_each_fold(run):
    loaded = load_run(run)
    found = clinical_summary(loaded, conformal_alpha=0.5, resamples=100)
    p, truth = found.items.probabilities, found.items.labels
    sets = np.zeros(p.shape, bool)
    for fold in range(5):
        labels, own = inner_part(loaded, fold)
        mine = found.items.folds == fold
        both = np.stack([1 - own, own], axis=1)
        sets[mine] = conformal_sets(labels, both, p[mine], alpha=0.5)
    sizes = sets.sum(axis=1)
    assert min((sizes == 0).sum(), (sizes == 1).sum()) > 5
    assert (found.conformal.empty, found.conformal.single) == pytest.approx(
        ((sizes == 0).mean(), (sizes == 1).mean())
    )
    hit = sets[np.arange(len(truth)), truth]
    assert found.conformal.coverage == pytest.approx([hit[truth == c].mean() for c in (0, 1)])


def test_a_decision_is_surer_the_further_it_is_from_the_threshold(run):
    found = clinical_summary(load_run(run), threshold=0.3, resamples=100)
    p = found.items.probabilities[:, 1]
    wrong = (p >= 0.3) != found.items.labels
    surest = np.argsort(-np.abs(p - 0.3))
    assert found.selective.risk[39] == pytest.approx(wrong[surest[:40]].mean())
    assert found.selective.risk == pytest.approx(np.cumsum(wrong[surest]) / np.arange(1, 121))


def test_where_nobody_is_called_positive_there_is_no_predictive_value(run):
    own, *_ = clinical_summary(load_run(run), threshold=0.99999, resamples=100).at
    assert all(map(math.isnan, own.ppv))
    assert own.npv[0] == pytest.approx(0.5)


def test_several_classes_have_sets_and_selective_errors_only(tmp_path):
    path = write_rival(tmp_path, "three", classes=("x", "y", "z"), patients=90)
    found = clinical_summary(load_run(path), resamples=100)
    assert (found.curve, found.calibration, found.at) == ((), None, ())
    assert len(found.conformal.coverage) == 3
    assert found.selective.risk[-1] == pytest.approx(
        (found.items.predicted != found.items.labels).mean()
    )


def test_without_an_inner_part_nothing_is_calibrated(tmp_path):
    path = write_rival(tmp_path, "plain", validation=False)
    found = clinical_summary(load_run(path), resamples=100)
    assert found.calibration[1] is None
    assert found.conformal is None


def test_an_inner_part_that_no_line_fits_is_told_instead_of_passing_for_recalibrated(tmp_path):
    path = write_rival(tmp_path, "sure", signal=50.0)
    found = clinical_summary(load_run(path), resamples=100)
    assert found.unfitted == (0, 1, 2, 3, 4)
    assert found.calibration[1] is None
    said = " ".join(CliRunner().invoke(main, ["clinical", str(path)]).stdout.split())
    assert "Not recalibrated: the classes of every inner validation part are completely" in said
    some = replace(found, unfitted=(1, 3), calibration=(found.calibration[0],) * 2)
    (table,) = [part for part in clinical_tables(some) if part.title == "Calibration"]
    assert "Folds 1, 3: left as they are" in table.notes[0]
    assert clinical_json(some)["folds_not_recalibrated"] == [1, 3]


def test_a_value_that_rounds_to_zero_has_no_sign(tmp_path):
    found = clinical_summary(load_run(write_rival(tmp_path, "plain")), resamples=100)
    tiny = replace(found.curve[0], gain=(-1e-6, -1e-5, 1e-6))
    (table,) = [
        part
        for part in clinical_tables(replace(found, curve=(tiny,)))
        if part.title == "Decision curve"
    ]
    assert table.cells["gain"] == ["0.000 (0.000 to 0.000)"]


def test_an_unknown_column_and_a_run_without_folds_are_refused(run, tmp_path):
    with pytest.raises(UsageError, match="--by 'sites' is not a column of the cases of mine"):
        clinical_summary(load_run(run), columns=("sites",), resamples=100)
    empty = write_rival(tmp_path, "empty", done=0)
    with pytest.raises(UsageError, match="empty has no finished fold"):
        clinical_summary(load_run(empty))


def test_the_command_draws_tables_and_writes_the_same_numbers_as_json(run, tmp_path):
    arguments = ["clinical", str(run), "--prevalence", "0.05", "--by", "site"]
    shown = CliRunner().invoke(main, arguments)
    assert shown.exit_code == 0, shown.output
    for words in (
        "mine: decisions",
        "Decision curve",
        "Calibration",
        "Selective prediction",
        "Conformal prediction sets, by class",
        "Subgroups",
        "5.0%",
        "recalibrated",
    ):
        assert words in shown.output, words
    assert max(map(len, shown.output.splitlines())) <= 100
    file = tmp_path / "clinical.json"
    CliRunner().invoke(main, [*arguments, "--format", "json", "--output", str(file)])
    values = json.loads(file.read_text())
    assert values["at_prevalence"][1]["prevalence"] == 0.05
    assert values["subgroups"]["site"]["p"] > 0
    low, high = (values["sensitivity"][end] for end in ("low", "high"))
    assert f"{low:.3f} to {high:.3f}" in " ".join(shown.output.split())
    assert np.isfinite(values["calibration"]["line"]["slope"])

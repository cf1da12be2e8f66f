import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from volbench.errors import DataError
from volbench.evaluation.statistics import delong, delong_interval, delong_test

# The data of DeLong et al. (1988): albumin, total protein and K-G score of 43 of their patients,
# and whether each died (0) after surgery or not, as printed in the SAS/STAT manual
# (LOGISTIC procedure, "Comparing Receiver Operating Characteristic Curves").
OVARIAN = np.fromstring(
    """
    3.0 5.8 10 0  3.2 6.3 5 1  3.9 6.8 3 1  2.8 4.8 6 0  3.2 5.8 3 1  0.9 4.0 5 0  2.5 5.7 8 0
    1.6 5.6 5 1   3.8 5.7 5 1  3.7 6.7 6 1  3.2 5.4 4 1  3.8 6.6 6 1  4.1 6.6 5 1  3.6 5.7 5 1
    4.3 7.0 4 1   3.6 6.7 4 0  2.3 4.4 6 1  4.2 7.6 4 0  4.0 6.6 6 0  3.5 5.8 6 1  3.8 6.8 7 1
    3.0 4.7 8 0   4.5 7.4 5 1  3.7 7.4 5 1  3.1 6.6 6 1  4.1 8.2 6 1  4.3 7.0 5 1  4.3 6.5 4 1
    3.2 5.1 5 1   2.6 4.7 6 1  3.3 6.8 6 0  1.7 4.0 7 0  3.7 6.1 5 1  3.3 6.3 7 1  4.2 7.7 6 1
    3.5 6.2 5 1   2.9 5.7 9 0  2.1 4.8 7 1  2.8 6.2 8 0  4.0 7.0 7 1  3.3 5.7 6 1  3.7 6.9 5 1
    3.6 6.6 5 1
    """,
    sep=" ",
).reshape(-1, 4)
OUTCOME = OVARIAN[:, 3].astype(int)
ALBUMIN, PROTEIN, K_G = OVARIAN[:, 0], OVARIAN[:, 1], 10 - OVARIAN[:, 2]


def study(seed, *, patients=60, most=1, mixed=False, ties=False):
    """Labels, two models' scores, and the patient of each case; a patient's cases are alike."""
    random = np.random.default_rng(seed)
    of_case = np.repeat(np.arange(patients), random.integers(1, most + 1, patients))
    labels = (np.arange(patients) % 3 > 0).astype(int)[of_case]
    if mixed:
        labels = np.where(random.random(len(of_case)) < 0.3, 1 - labels, labels)
    scores = labels * 1.2 + random.normal(size=(2, patients))[:, of_case]
    scores += 0.7 * random.normal(size=len(of_case)) + 0.5 * random.normal(size=scores.shape)
    return labels, np.round(scores) if ties else scores, of_case


def kernel(labels, scores):
    """1, 1/2 or 0 for each pair of a positive (row) and a negative (column)."""
    x, y = scores[labels == 1], scores[labels == 0]
    return (x[:, None] > y) + 0.5 * (x[:, None] == y)


def direct(labels, models):
    """DeLong's covariance from the whole matrix of pairs."""
    psi = [kernel(labels, scores) for scores in models]
    tens, ones = np.cov([p.mean(axis=1) for p in psi]), np.cov([p.mean(axis=0) for p in psi])
    return tens / psi[0].shape[0] + ones / psi[0].shape[1]


def obuchowski(labels, one, other, clusters):
    """Covariance by the formula of Obuchowski (1997), summing over patients in plain Python."""
    psi = [kernel(labels, scores) for scores in (one, other)]
    theta = [p.mean() for p in psi]
    positives, negatives = clusters[labels == 1], clusters[labels == 0]
    m, n = len(positives), len(negatives)
    patients = set(clusters.tolist())
    with_positive, with_negative = set(positives.tolist()), set(negatives.tolist())

    def tens(model, patient):
        return sum(psi[model].mean(axis=1)[positives == patient] - theta[model])

    def ones(model, patient):
        return sum(psi[model].mean(axis=0)[negatives == patient] - theta[model])

    i10, i01, i = len(with_positive), len(with_negative), len(patients)
    s10 = i10 / ((i10 - 1) * m) * sum(tens(0, p) * tens(1, p) for p in with_positive)
    s01 = i01 / ((i01 - 1) * n) * sum(ones(0, p) * ones(1, p) for p in with_negative)
    s11 = i / (i - 1) * sum(tens(0, p) * ones(1, p) for p in patients)
    s11_turned = i / (i - 1) * sum(ones(0, p) * tens(1, p) for p in patients)
    return s10 / m + s01 / n + (s11 + s11_turned) / (m * n)


@pytest.mark.parametrize(
    ("scores", "area", "error"),
    [(ALBUMIN, 0.7366, 0.0927), (K_G, 0.7258, 0.1028), (PROTEIN, 0.6478, 0.1000)],
    ids=["albumin", "K-G score", "protein"],
)
def test_published_areas(scores, area, error):
    found = delong_interval(OUTCOME, scores)
    assert (round(found.area, 4), round(found.standard_error, 4)) == (area, error)
    assert (found.low, found.high) == pytest.approx(
        (area - 1.96 * error, area + 1.96 * error), abs=2e-4
    )


@pytest.mark.parametrize(
    ("scores", "difference", "error", "chi_square", "p"),
    [(ALBUMIN, 0.0108, 0.0953, 0.0127, 0.9102), (PROTEIN, -0.0780, 0.1046, 0.5554, 0.4561)],
    ids=["albumin", "protein"],
)
def test_published_comparisons_with_the_k_g_score(scores, difference, error, chi_square, p):
    found = delong_test(OUTCOME, scores, K_G)
    assert round(found.difference, 4) == pytest.approx(difference)
    assert round(found.standard_error, 4) == error
    assert round(found.z**2, 4) == chi_square
    assert round(found.p, 4) == p


def test_published_comparison_of_all_three():
    found = delong(OUTCOME, np.stack([ALBUMIN, PROTEIN, K_G]))
    contrast = np.array([[1, 0, -1], [0, 1, -1]])
    gap = contrast @ found.areas
    chi_square = gap @ np.linalg.solve(contrast @ found.covariance @ contrast.T, gap)
    assert round(chi_square, 4) == 2.5340
    assert round(stats.chi2.sf(chi_square, 2), 4) == 0.2817


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_it_is_what_the_whole_matrix_of_pairs_gives(seed, ties):
    labels, scores, _ = study(seed, ties=ties)
    found = delong(labels, scores)
    assert found.areas == pytest.approx([roc_auc_score(labels, one) for one in scores])
    assert found.covariance == pytest.approx(direct(labels, scores), rel=1e-12)


def test_one_case_per_patient_is_plain_delong_exactly():
    labels, scores, _ = study(0)
    names = np.array([f"patient {n}" for n in range(len(labels))])[::-1]
    plain, clustered = delong(labels, scores), delong(labels, scores, clusters=names)
    assert np.array_equal(plain.areas, clustered.areas)
    assert clustered.covariance == pytest.approx(plain.covariance, rel=1e-14)


@pytest.mark.parametrize("mixed", [False, True], ids=["one class each", "both classes"])
@pytest.mark.parametrize("seed", range(3))
def test_several_cases_of_a_patient_follow_obuchowski(seed, mixed):
    labels, scores, patients = study(seed, most=4, mixed=mixed, ties=seed == 2)
    found = delong(labels, scores, clusters=patients).covariance
    expected = [[obuchowski(labels, a, b, patients) for b in scores] for a in scores]
    assert found == pytest.approx(np.array(expected), rel=1e-10)


def test_the_variance_is_that_over_the_drawing_of_patients():
    """What Obuchowski's formula estimates, seen in 1,500 studies of 60 patients each."""
    studies = [study(seed, most=4, mixed=True) for seed in range(1500)]
    areas = np.array([[kernel(y, one).mean() for one in s] for y, s, _ in studies])
    true = areas.var(axis=0).mean()
    gap = (areas[:, 0] - areas[:, 1]).var()
    some = [delong(y, s, clusters=patients).covariance for y, s, patients in studies[:200]]
    mean = np.mean(some, axis=0)
    assert mean.trace() / 2 == pytest.approx(true, rel=0.1)
    assert mean.trace() - 2 * mean[0, 1] == pytest.approx(gap, rel=0.1)
    blind = [delong(y, s).covariance[0, 0] for y, s, _ in studies[:200]]
    assert np.mean(blind) < 0.9 * true


def test_a_big_bootstrap_of_patients_gives_the_same_error():
    labels, scores, patients = study(7, patients=150, most=3, mixed=True)
    random = np.random.default_rng(0)
    often = random.multinomial(150, np.full(150, 1 / 150), 10_000)[:, patients]
    positive, negative = often[:, labels == 1], often[:, labels == 0]
    gap = kernel(labels, scores[0]) - kernel(labels, scores[1])
    gaps = ((positive @ gap) * negative).sum(axis=1)
    gaps /= positive.sum(axis=1) * negative.sum(axis=1)
    found = delong_test(labels, *scores, clusters=patients)
    assert found.standard_error == pytest.approx(np.std(gaps), rel=0.05)


def test_folds_compare_only_their_own_cases():
    labels, scores, _ = study(1, patients=90)
    folds = np.arange(90) // 18
    shifted = scores + 100.0 * folds
    plain, moved = (delong(labels, one, folds=folds) for one in (scores, shifted))
    assert np.array_equal(plain.areas, moved.areas)
    assert np.array_equal(plain.covariance, moved.covariance)
    each = [roc_auc_score(labels[folds == f], scores[0][folds == f]) for f in range(5)]
    assert plain.areas[0] == pytest.approx(np.mean(each))


def test_variances_of_folds_add_up():
    labels, scores, _ = study(2, patients=90)
    folds = np.arange(90) % 5
    each = [direct(labels[folds == f], scores[:, folds == f]) for f in range(5)]
    found = delong(labels, scores, folds=folds)
    assert found.covariance == pytest.approx(sum(each) / 25)
    assert (found.folds, found.undefined) == (5, 0)


def test_a_fold_with_one_patient_of_a_class_takes_the_spread_of_the_others():
    labels = np.array([1, 0, 0, 0] + 3 * [1, 1, 0, 0, 0])
    folds = np.repeat([0, 1, 2, 3], [4, 5, 5, 5])
    scores = np.random.default_rng(3).normal(size=19) + labels
    psi = [kernel(labels[folds == f], scores[folds == f]) for f in range(4)]
    tens = [p.mean(axis=1).var(ddof=1) for p in psi[1:]]
    ones = [p.mean(axis=0).var(ddof=1) for p in psi]
    total = np.mean(tens) / 1 + sum(tens) / 2 + sum(ones) / 3
    assert delong(labels, scores[None], folds=folds).covariance.item() == pytest.approx(total / 16)


def test_a_fold_without_a_class_is_refused_unless_it_is_to_be_left_out():
    labels, scores = np.array([0, 0, 0, 1, 0, 1, 0, 1]), np.arange(8.0)
    folds = np.array([0, 0, 1, 1, 1, 1, 1, 1])
    with pytest.raises(DataError, match=r"1 of 2 folds hold cases of one class only.*'omit'"):
        delong(labels, scores[None], folds=folds)
    found = delong(labels, scores[None], folds=folds, undefined="omit")
    inside = folds == 1
    assert (found.folds, found.undefined) == (1, 1)
    assert found.covariance == pytest.approx(
        delong(labels[inside], scores[None, inside]).covariance
    )


def test_a_missing_class_is_refused_however_asked():
    with pytest.raises(DataError, match="one class only"):
        delong(np.ones(4, dtype=int), np.zeros((1, 4)), undefined="omit")


def test_one_patient_of_a_class_in_every_fold_tells_no_spread():
    with pytest.raises(DataError, match="one patient only of a class"):
        delong(np.array([1, 0, 0, 1, 0, 0]), np.zeros((1, 6)), folds=np.array([0, 0, 0, 1, 1, 1]))


def test_a_patient_in_two_folds_is_refused():
    labels, scores, _ = study(0, patients=12)
    with pytest.raises(DataError, match="a patient is in more than one fold"):
        delong(labels, scores, clusters=np.arange(12) // 3, folds=np.arange(12) % 2)


def test_labels_and_scores_are_checked():
    with pytest.raises(DataError, match="label 2 is not one of the 2 classes"):
        delong(np.array([0, 1, 2]), np.zeros((1, 3)))
    with pytest.raises(DataError, match="a score is not a number"):
        delong(np.array([0, 1]), np.array([[0.0, np.nan]]))


def test_a_model_compared_with_itself_does_not_differ():
    labels, scores, _ = study(0)
    found = delong_test(labels, scores[0], scores[0])
    assert (found.difference, found.z, found.p) == (0, 0, 1)


def test_a_perfect_model_has_no_error_to_judge_by():
    labels = np.array([0, 0, 0, 1, 1, 1])
    perfect = delong_interval(labels, np.arange(6.0))
    assert (perfect.area, perfect.standard_error) == (1, 0)
    assert math.isnan(perfect.low)
    assert math.isnan(perfect.high)
    found = delong_test(labels, np.arange(6.0), np.zeros(6))
    assert found.z == math.inf
    assert math.isnan(found.p)


def test_an_interval_stays_between_0_and_1():
    labels = np.array([0, 0, 0, 1, 1, 1])
    found = delong_interval(labels, np.array([0.0, 1.0, 3.0, 2.0, 4.0, 5.0]))
    assert found.high == 1
    assert found.low < found.area < 1


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 99))
def test_swapping_the_models_flips_the_sign_of_the_test(seed):
    labels, (one, other), patients = study(seed, patients=24, most=2, mixed=True)
    a = delong_test(labels, one, other, clusters=patients)
    b = delong_test(labels, other, one, clusters=patients)
    assert (a.difference, a.z, a.low) == pytest.approx((-b.difference, -b.z, -b.high))
    assert a.p == pytest.approx(b.p)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 99), st.randoms(use_true_random=False))
def test_the_order_of_cases_changes_nothing(seed, random):
    labels, (one, other), patients = study(seed, patients=24, most=2, mixed=True)
    mixed = np.array(random.sample(range(len(labels)), len(labels)))
    a = delong_test(labels, one, other, clusters=patients)
    b = delong_test(labels[mixed], one[mixed], other[mixed], clusters=patients[mixed])
    assert vars(a) == pytest.approx(vars(b))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 99))
def test_only_the_order_of_scores_counts(seed):
    labels, (one, other), _ = study(seed, patients=24, ties=True)
    logistic = 1 / (1 + np.exp(-one))
    assert vars(delong_test(labels, one, other)) == pytest.approx(
        vars(delong_test(labels, logistic, 3 * other - 1))
    )


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 99))
def test_naming_the_other_class_positive_turns_the_area_over(seed):
    labels, (one, other), _ = study(seed, patients=24, ties=True)
    a, b = delong_test(labels, one, other), delong_test(1 - labels, -one, -other)
    assert (a.first, a.p) == pytest.approx((b.first, b.p))


def several(seed, *, patients=150, classes=3, most=1):
    """Labels, two models' scores per class, and the patient of each case."""
    random = np.random.default_rng(seed)
    of_case = np.repeat(np.arange(patients), random.integers(1, most + 1, patients))
    labels = (np.arange(patients) % classes)[of_case]
    scores = random.normal(size=(2, patients, classes))[:, of_case]
    scores += 0.7 * random.normal(size=scores.shape)
    scores[:, np.arange(len(labels)), labels] += 1
    return labels, scores, of_case


def test_several_classes_have_the_area_of_scikit_learn_and_the_jackknifes_covariance():
    labels, scores, patients = several(0)
    shares = np.exp(scores) / np.exp(scores).sum(axis=2, keepdims=True)
    found = delong(labels, shares)
    for area, each in zip(found.areas, shares, strict=True):
        assert area == pytest.approx(roc_auc_score(labels, each, multi_class="ovr"))
    left_out = np.array(
        [delong(labels[kept], shares[:, kept]).areas for kept in ~np.eye(len(labels), dtype=bool)]
    )
    jackknife = sum(
        (of - 1) / of * (d := left_out[labels == c] - left_out[labels == c].mean(axis=0)).T @ d
        for c, of in enumerate(np.bincount(labels))
    )
    np.testing.assert_allclose(found.covariance, jackknife, rtol=0.03)
    assert patients.max() == 149


def test_two_columns_are_the_second_one():
    labels, scores, _ = study(1)
    pair = np.stack([1 - scores, scores], axis=2)
    assert delong(labels, pair).covariance == pytest.approx(delong(labels, scores).covariance)


def test_the_error_of_several_classes_is_the_spread_over_studies():
    drawn = [several(seed, patients=60, most=2) for seed in range(400)]
    found = [delong(labels, scores, clusters=of) for labels, scores, of in drawn]
    differences = np.array([each.areas[0] - each.areas[1] for each in found])
    contrast = np.array([1.0, -1.0])
    variance = np.mean([contrast @ each.covariance @ contrast for each in found])
    assert differences.var(ddof=1) == pytest.approx(variance, rel=0.25)


def test_an_area_of_each_fold_stands_beside_their_mean():
    labels, scores, patients = several(2)
    folds = patients // 3 % 3
    found = delong(labels, scores, folds=folds)
    for fold in range(3):
        inside = folds == fold
        alone = delong(labels[inside], scores[:, inside])
        assert found.by_fold[:, fold] == pytest.approx(alone.areas)
    np.testing.assert_allclose(np.nanmean(found.by_fold, axis=1), found.areas)


def test_folds_that_share_no_patient_may_be_called_repeated_as_well():
    labels, scores, _ = study(2, patients=60)
    folds = np.arange(60) // 2 % 4
    once = delong(labels, scores, folds=folds)
    again = delong(labels, scores, folds=folds, repeated=True)
    assert again.covariance == pytest.approx(once.covariance)
    assert again.of_one_fold == pytest.approx(once.of_one_fold)
    assert once.of_one_fold == pytest.approx(once.covariance * 4)


def test_the_same_division_three_times_over_is_known_no_better_than_once():
    labels, scores, _ = study(3, patients=60)
    folds = np.arange(60) // 2 % 4
    once = delong(labels, scores, folds=folds)
    thrice = delong(
        np.tile(labels, 3),
        np.tile(scores, 3),
        clusters=np.tile(np.arange(60), 3),
        folds=np.concatenate([folds + 4 * repeat for repeat in range(3)]),
        repeated=True,
    )
    assert thrice.folds == 12
    assert thrice.covariance == pytest.approx(once.covariance)
    assert thrice.of_one_fold == pytest.approx(once.of_one_fold)


def test_the_variance_over_random_splits_is_that_of_drawing_patients():
    random = np.random.default_rng(0)
    areas, variances = [], []
    for _ in range(400):
        labels = np.arange(40) % 2
        scores = labels + random.normal(size=(5, 40)) + random.normal(size=40)
        held_out = np.array([[*random.permutation(20)[:6]] for _ in range(10)])
        cases = np.concatenate([[*(2 * each), *(2 * each + 1)] for each in held_out])
        found = delong(
            labels[cases],
            scores[np.repeat(np.arange(10) % 5, 12), cases][None],
            clusters=cases,
            folds=np.repeat(np.arange(10), 12),
            repeated=True,
        )
        areas.append(found.areas[0])
        variances.append(found.covariance[0, 0])
    assert np.mean(variances) == pytest.approx(np.var(areas), rel=0.2)


def test_a_smaller_level_makes_a_wider_interval():
    draw = np.random.default_rng(3)
    labels = np.tile([0, 1], 20)
    first, second = (labels + draw.normal(size=40) for _ in range(2))
    wide, narrow = (delong_test(labels, first, second, alpha=alpha) for alpha in (0.1, 0.5))
    for found, alpha in ((wide, 0.1), (narrow, 0.5)):
        reach = stats.norm.ppf(1 - alpha / 2) * found.standard_error
        assert found.high - found.difference == pytest.approx(reach)

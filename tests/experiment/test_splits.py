from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.small import small_case
from volbench.errors import DataError, UsageError
from volbench.experiment.split_designs import (
    choose_split,
    leave_one_out,
    make_split,
    official_split,
    random_splits,
    read_split,
)


def cohort(patients, folds=None):
    """One case per number in ``patients``: its patient; the label alternates by patient."""
    return [
        small_case(n, patient=f"p{patient}", label=patient % 2, fold=folds and folds[n])
        for n, patient in enumerate(patients)
    ]


FORMER = "400324311132341240112434020302"


@given(
    st.lists(st.integers(0, 30), min_size=40, max_size=120).filter(
        lambda patients: (
            min(Counter(p % 2 for p in set(patients)).values(), default=0) >= 5
            and len({p % 2 for p in patients}) == 2
        )
    ),
    st.integers(2, 5),
    st.integers(0, 9),
)
def test_no_patient_is_ever_in_two_parts(patients, folds, seed):
    cases = cohort(patients)
    split = make_split(cases, folds, seed)
    held_out = Counter()
    for fold in split.folds:
        part = split.part(fold, validation_fraction=0.2, seed=seed)
        held_out.update(part.test)
        groups = [{cases[index].patient for index in group} for group in vars(part).values()]
        assert sum(map(len, groups)) == len(set.union(*groups))
        assert sorted((*part.train, *part.validation, *part.test)) == list(range(len(cases)))
    assert held_out == Counter(range(len(cases)))


def test_folds_have_the_classes_in_equal_shares():
    cases = [small_case(n, label=int(n % 10 >= 3)) for n in range(200)]
    split = make_split(cases, 10, seed=1)
    shares = defaultdict(Counter)
    for case, fold in zip(cases, split.assigned, strict=True):
        shares[fold][case.label] += 1
    assert all(share == {0: 6, 1: 14} for share in shares.values())


def test_the_validation_part_has_both_classes_and_the_asked_size():
    cases = [small_case(n, label=int(n % 10 >= 3)) for n in range(200)]
    part = make_split(cases, 10, seed=1).part(3, validation_fraction=0.15, seed=1)
    assert len(part.validation) == pytest.approx(0.15 * 180, abs=2)
    assert {cases[index].label for index in part.validation} == {0, 1}


def test_the_same_seed_gives_the_same_folds_and_another_one_others():
    cases = cohort(range(60))
    assert make_split(cases, 5, 7).digest == make_split(cases, 5, 7).digest
    assert make_split(cases, 5, 7).digest != make_split(cases, 5, 8).digest


def test_the_digest_does_not_depend_on_the_order_of_the_cases():
    cases = cohort(range(20), folds=[str(n % 4) for n in range(20)])
    assert official_split(cases).digest == official_split(cases[::-1]).digest


def test_folds_are_numbered_as_people_count_not_as_text_is_sorted():
    cases = cohort(range(36), folds=[str(1 + n % 12) for n in range(36)])
    assert official_split(cases).assigned == tuple(str(n % 12) for n in range(36))


def test_an_official_split_has_one_fold_and_its_own_validation_part():
    words = ["train"] * 6 + ["val"] * 2 + ["test"] * 4
    split = official_split(cohort(range(12), folds=words))
    part = split.part(0, validation_fraction=0.5, seed=0)
    assert split.folds == (0,)
    assert (part.train, part.validation, part.test) == (
        tuple(range(6)),
        (6, 7),
        tuple(range(8, 12)),
    )


def test_validation_cases_are_trained_on_when_no_checkpoint_is_picked():
    words = ["train"] * 6 + ["val"] * 2 + ["test"] * 4
    part = official_split(cohort(range(12), folds=words)).part(0, validation_fraction=None, seed=0)
    assert (part.train, part.validation) == (tuple(range(8)), ())


def test_a_split_survives_its_file(tmp_path):
    cases = cohort(range(20))
    split = make_split(cases, 4, 0)
    rows = zip(cases, split.assigned, strict=True)
    lines = ["case,fold", *(f"{case.name},{fold}" for case, fold in rows)]
    (tmp_path / "split.csv").write_text("\n".join(lines))
    assert read_split(tmp_path / "split.csv", cases) == split


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["case,fold", "case000,0"], "has no fold for case 'case001' (and 2 more)"),
        (["case,fold", *(f"case00{n},0" for n in range(5))], "has case 'case004', unknown here"),
        (["case,fold", "case000,0", "case000,1"], "lists case 'case000' more than once"),
        (["case,fold", *(f"case00{n},x" for n in range(4))], "fold 'x' is neither a number"),
        (["case,fold", *(f"case00{n},{n}" for n in range(4))], "patient 'p0' is in more than one"),
        (["name,part"], "must be a CSV with the columns case and fold"),
        (["case,fold", *(f"case00{n},train" for n in range(4))], "the split holds nothing out"),
    ],
)
def test_a_split_that_does_not_fit_is_refused(tmp_path, lines, message):
    (tmp_path / "split.csv").write_text("\n".join(lines))
    with pytest.raises(DataError) as info:
        read_split(tmp_path / "split.csv", cohort([0, 1, 0, 1]))
    assert message in str(info.value)


def test_more_folds_than_patients_of_a_class_are_refused_with_the_number_that_works():
    with pytest.raises(DataError, match="has 3 patients, fewer than 10 folds; use --folds 3"):
        make_split(cohort(range(7)), 10, 0)


@pytest.mark.parametrize("text", ["1", "0", "ten", "folds.txt", "-3", "2.5"])
def test_anything_else_is_no_split(text):
    with pytest.raises(UsageError, match="--folds"):
        choose_split(text, cohort(range(40)), 0)


def several_cases(seed, patients=90, mixed=0.0):
    """One to four cases a patient, a third of the patients of class 0; some have both classes."""
    random = np.random.default_rng(seed)
    cases = []
    for patient in range(patients):
        own = int(patient % 3 > 0)
        both = random.random() < mixed
        for number in range(random.integers(1 + both, 5)):
            label = number % 2 if both else own
            cases.append(small_case(len(cases), patient=f"p{patient}", label=label))
    return cases


def patients_per_fold(split, label):
    found = defaultdict(set)
    for case, fold in zip(split.cases, split.assigned, strict=True):
        if case.label == label:
            found[fold].add(case.patient)
    return [len(found[str(fold)]) for fold in split.folds]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("mixed", [0.0, 0.2])
def test_patients_of_a_class_are_spread_evenly_where_they_have_several_cases(seed, mixed):
    split = make_split(several_cases(seed, mixed=mixed), 10, seed)
    for label in (0, 1):
        counts = patients_per_fold(split, label)
        assert max(counts) - min(counts) <= 1
    cases = Counter(split.assigned)
    assert max(cases.values()) - min(cases.values()) <= 8


def test_no_fold_lacks_a_class_whose_patients_all_have_another_one_too():
    cases = [small_case(n, patient=f"p{n // 2}", label=n % 2) for n in range(20)]
    cases += [small_case(20 + n, patient=f"q{n}", label=1) for n in range(40)]
    split = make_split(cases, 10, 0)
    assert patients_per_fold(split, 0) == [1] * 10


def test_folds_of_one_case_a_patient_are_those_of_version_0_1():
    cases = [small_case(n, patient=f"p{n}", label=n % 3 % 2) for n in range(30)]
    assert "".join(make_split(cases, 5, 0).assigned) == FORMER


def with_strata(**columns):
    length = len(next(iter(columns.values())))
    return [
        small_case(n, patient=f"p{n}", label=n % 2,
                   strata={name: values[n] for name, values in columns.items()})
        for n in range(length)
    ]  # fmt: skip


def test_a_column_is_left_out_one_value_at_a_time():
    sites = list("BBAACCAABB")
    split = choose_split("site", with_strata(site=sites), 3)
    assert split.assigned == tuple(str("ABC".index(site)) for site in sites)
    assert split.digest == choose_split("site", with_strata(site=sites), 8).digest


@pytest.mark.parametrize(
    ("cases", "message"),
    [
        (with_strata(site=["A", "", "B", "A"]), "case 'case001' has no site"),
        (with_strata(site=["A"] * 4), "the column has 1 value; leaving one out needs 2 to 50"),
        (with_strata(site=[str(n) for n in range(60)]), "the column has 60 values"),
        (
            [small_case(n, patient="one", label=n % 2, strata={"site": "AB"[n]}) for n in range(2)],
            "patient 'one' is in more than one fold",
        ),
    ],
)
def test_a_column_that_cannot_be_left_out_is_refused(cases, message):
    with pytest.raises(DataError, match=message):
        leave_one_out(cases, "site")


@pytest.mark.parametrize(
    "moments",
    [
        [str(2000 + n) for n in range(10)],
        [f"20{n:02}-06-01" for n in range(10)],
    ],
)
def test_the_latest_patients_are_held_out(moments):
    split = choose_split("time(column='when', test=0.3)", with_strata(when=moments), 0)
    assert split.assigned == ("train",) * 7 + ("0",) * 3
    assert split.folds == (0,)


def test_a_patient_is_as_late_as_the_last_case():
    cases = [
        small_case(n, patient=f"p{n // 2}", label=n // 2 % 2, strata={"year": year})
        for n, year in enumerate(["1", "9", "2", "2", "3", "3", "4", "8"])
    ]
    split = choose_split("time(column='year', test=0.5)", cases, 0)
    assert split.assigned == ("0", "0", "train", "train", "train", "train", "0", "0")


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("time(column='year', test=2.0)", UsageError, "the share of patients to hold out"),
        ("time(test=0.2)", UsageError, "write time"),
        ("time(column='year', test=0.2, more=1)", UsageError, "write time"),
        ("time(column='year', test=0.1)", DataError, "a class has no patient held out"),
        ("time(column='name', test=0.2)", DataError, "neither a number nor a date"),
        ("sites", UsageError, r"or a column of the data \(name, year\)"),
    ],
)
def test_a_division_by_time_that_cannot_be_is_refused(text, error, message):
    cases = with_strata(year=list("0123456789"), name=list("abcdefghij"))
    with pytest.raises(error, match=message):
        choose_split(text, cases, 0)


def test_a_class_with_too_few_patients_is_named():
    cases = cohort([0, 1, 2, 3, 4, 6, 8])  # classes by the parity of the patient
    for folds, said in {
        "3": "class 'T3' has 2 patients, fewer than 3 folds; use --folds 2",
        "random(splits=4)": "",
    }.items():
        if said:
            with pytest.raises(DataError, match=said):
                choose_split(folds, cases, 0, ("T2", "T3"))
        with pytest.raises(DataError, match="class 'T3' has one patient only"):
            choose_split(folds, cases[:3], 0, ("T2", "T3"))


@pytest.mark.parametrize("odd", ["nan", "inf"])
def test_a_time_that_is_no_number_is_refused(odd):
    cases = with_strata(year=[odd, *"123456789"])
    with pytest.raises(DataError, match=f"year '{odd}' is neither a number nor a date"):
        choose_split("time(column='year', test=0.2)", cases, 0)


def test_years_and_dates_are_not_mixed():
    cases = with_strata(year=["2019-05-01", *(str(2010 + n) for n in range(9))])
    with pytest.raises(DataError, match=r"year is a date in case .* and a number in case"):
        choose_split("time(column='year', test=0.2)", cases, 0)


def test_sites_that_look_like_one_are_not_left_out_apart():
    cases = with_strata(site=["North", "north ", *["South"] * 8])
    with pytest.raises(DataError, match="'North' and 'north' look like one, which would"):
        choose_split("site", cases, 0)


def test_random_splits_are_stratified_and_disjoint_in_patients_each_on_its_own():
    cases = cohort([n // 2 for n in range(120)])
    split = random_splits(cases, 8, 0.1, seed=3)
    assert split.folds == tuple(range(8))
    assert split.repeated
    times = Counter()
    for fold in split.folds:
        part = split.part(fold, validation_fraction=0.2, seed=3)
        held = {cases[index].patient for index in part.test}
        assert Counter(int(patient[1:]) % 2 for patient in held) == {0: 3, 1: 3}
        assert not held & {cases[index].patient for index in (*part.train, *part.validation)}
        assert sorted((*part.train, *part.validation, *part.test)) == list(range(len(cases)))
        times.update(held)
    assert max(times.values()) > 1
    assert len(times) < 60


def test_random_splits_follow_from_the_seed_and_begin_alike():
    cases = cohort(range(40))
    assert random_splits(cases, 5, 0.2, 1) == random_splits(cases, 5, 0.2, 1)
    assert random_splits(cases, 5, 0.2, 1).digest != random_splits(cases, 5, 0.2, 2).digest
    longer = random_splits(cases, 9, 0.2, 1)
    for fold in range(5):
        assert longer.held_out(fold) == random_splits(cases, 5, 0.2, 1).held_out(fold)


def test_a_patient_of_several_classes_and_a_rare_class_are_held_out_too():
    labels = [0] * 20 + [1] * 2 + [0, 1]
    patients = [*range(22), 22, 22]
    cases = [
        small_case(n, label=label, patient=f"p{patient}")
        for n, (label, patient) in enumerate(zip(labels, patients, strict=True))
    ]
    split = random_splits(cases, 6, 0.1, 0)
    assert all({cases[at].label for at in split.held_out(fold)} == {0, 1} for fold in split.folds)
    with pytest.raises(DataError, match="a class has one patient only"):
        random_splits(cases[:21], 6, 0.1, 0)


def test_random_splits_are_read_back_as_they_were_written(tmp_path):
    cases = cohort(range(40))
    split = random_splits(cases, 5, 0.2, 1)
    lines = [f"{case.name},{fold}" for case, fold in zip(cases, split.assigned, strict=True)]
    path = tmp_path / "split.csv"
    path.write_text("\n".join(["case,fold", *lines]))
    assert read_split(path, cases) == split
    path.write_text("\n".join(["case,fold", *lines[:-1], "case039,val"]))
    with pytest.raises(DataError, match=r"case 'case039': fold 'val' is neither 'train' nor numb"):
        read_split(path, cases)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("random(splits=1)", "splits must be 2 to 1000, and test above 0 and at most 0.5"),
        ("random(test=0.8)", "splits must be 2 to 1000, and test above 0 and at most 0.5"),
        ("random(splits=True)", "write random(splits=15, test=0.1)"),
        ("random(share=0.1)", "write random(splits=15, test=0.1)"),
    ],
)
def test_random_splits_that_make_no_sense_are_refused(text, reason):
    with pytest.raises(UsageError) as info:
        choose_split(text, cohort(range(40)), 0)
    assert reason in str(info.value)
    assert choose_split("random(splits=4, test=0.25)", cohort(range(40)), 0).folds == (0, 1, 2, 3)

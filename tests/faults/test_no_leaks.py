"""Random manifests: no patient is on both sides of any fold, whatever the split is made of."""

import os
import random
from collections import Counter

import pytest

from tests.helpers.small import small_case
from volbench.datasets.manifest import Manifest
from volbench.errors import VolbenchError
from volbench.experiment.split_designs import choose_split

QUICK, MANY = 60, int(os.environ.get("VOLBENCH_MANIFESTS", "600"))
NAMES = ("p{}", "{:04d}", "Müller {}", "{}.0", "'{}", "a,{}", "p {} ", "Ｐ{}")


def write_manifest(path, draw):
    """Patients with one to five cases, of one class or of several, in any order."""
    pattern, classes = draw.choice(NAMES), draw.choice((2, 2, 3, 5))
    rows = []
    folds = draw.choice((2, 3, 5))
    for patient in range(draw.randint(2 * classes, 60)):
        own = draw.randrange(classes)
        fold = draw.choice((*map(str, range(folds)), "train", "val", "test"))
        for _ in range(draw.choice((1, 1, 1, 2, 5))):
            label = own if draw.random() < 0.9 else draw.randrange(classes)
            torn = draw.random() < 0.003
            rows.append(
                {
                    "image": f"i{len(rows)}.nii",
                    "label": f"c{label}",
                    "patient": pattern.format(patient),
                    "fold": str(draw.randrange(folds)) if torn else fold,
                    "site": draw.choice("abc") if draw.random() < 0.05 else "abc"[patient % 3],
                    "year": str(2000 + patient % 20 + (draw.random() < 0.1)),
                }
            )
    draw.shuffle(rows)
    names = list(rows[0])
    lines = [",".join(f'"{row[name]}"' for name in names) for row in rows]
    path.write_text("\n".join([",".join(names), *lines, ""]), encoding="utf-8")


def cases_of(path):
    """What would be prepared; no image is opened."""
    manifest = Manifest(path=str(path))
    return tuple(
        small_case(
            number,
            name=case.name,
            patient=case.patient,
            label=manifest.classes.index(case.label),
            strata=dict(case.strata),
            fold=case.fold,
        )
        for number, case in enumerate(sorted(manifest.cases(), key=lambda case: case.name))
    )


def leaks(split, share, seed):
    """Patients on two sides of a fold, cases held out twice, and cases that are nowhere."""
    found = []
    held_out = Counter()
    for fold in split.folds:
        part = split.part(fold, validation_fraction=share, seed=seed)
        sides = [part.train, part.validation, part.test]
        patients = [{split.cases[index].patient for index in side} for side in sides]
        for one, two in ((0, 1), (0, 2), (1, 2)):
            found += sorted(patients[one] & patients[two])
        held_out.update(part.test)
        if sorted(index for side in sides for index in side) != list(range(len(split.cases))):
            found.append(f"fold {fold} does not hold each case once")
    return found + [index for index, times in held_out.items() if times > 1]


def campaign(folder, count, seed):
    draw, told, wrong = random.Random(seed), Counter(), []
    for number in range(count):
        path = folder / f"{number}.csv"
        write_manifest(path, draw)
        for folds in (str(draw.choice((2, 3, 5, 10))), "official", "site", "time(column='year')"):
            try:
                split = choose_split(folds, cases_of(path), number)
                found = leaks(split, draw.choice((None, 0.1, 0.2, 0.5)), number)
            except VolbenchError:
                told["refused"] += 1
                continue
            told["divided"] += 1
            wrong += [(number, folds, found)] if found else []
    print(f"\nrandom manifests: {count}; splits {dict(told)}; leaks: {len(wrong)}")
    assert not wrong, wrong[:5]
    assert told["divided"] > count, "or nothing was tried"


def test_no_patient_is_on_both_sides_of_a_fold(tmp_path):
    campaign(tmp_path, QUICK, 0)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_no_patient_is_on_both_sides_in_hundreds_of_manifests(tmp_path):
    campaign(tmp_path, MANY, 1)

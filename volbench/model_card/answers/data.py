"""Checklist answers about the data: source, size, preprocessing, partition."""

import re

from volbench.model_card.answers.answer import Answer
from volbench.model_card.markdown import counted, options, plain, safe, span
from volbench.model_card.run_facts import RunFacts

UNUSED = {
    "margin": ("crop", "roi"),
    "box_mm": ("crop", "box"),
    "n4_shrink": ("n4", True),
    "window": ("normalize", "window"),
}
"""Options of the preparation that do something only where another one has this value."""

PLACE = re.compile(r"site|cent(er|re)|hospital|institution|clinic|country", re.IGNORECASE)
"""Names of columns that say where a case is from."""

LISTED = 8
"""Values of a column that are listed; of more, their number is given."""


def sources(facts: RunFacts) -> Answer:
    """Title, licence, citation, size."""
    data, run = facts.data, facts.run
    parts = [f"{safe(data.get('title') or run.data)}, given to volbench as {safe(run.data)}"]
    parts += [
        f"{name}: {safe(data[key])}"
        for name, key in (("licence", "licence"), ("citation", "citation"), ("address", "url"))
        if data.get(key)
    ]
    parts.append(f"{cohort(facts)}; data digest {run.experiment['data_digest'][:16]}")
    return Answer(
        "; ".join(parts) + ".",
        "who collected the images, where, when and why these data; how they represent the patients "
        "that the model is meant for",
    )


def cohort(facts: RunFacts) -> str:
    """Cases, patients and classes in words."""
    many = len(facts.assigned)
    by_class = ", ".join(f"{safe(k)} {n}" for k, n in facts.by_class(facts.assigned).items())
    patients = counted(facts.patients, "patient")
    return f"{counted(many, 'case')} of {patients} ({by_class})"


def settings(facts: RunFacts) -> Answer:
    """Where cases are from, if a column says so."""
    known = [
        f"column {safe(name)}: {values}"
        for name, values in strata_values(facts).items()
        if PLACE.search(name)
    ]
    return Answer(
        "; ".join(known) + "." if known else "",
        "kind of care, number and location of the centres",
    )


def strata_values(facts: RunFacts) -> dict[str, str]:
    """Values of each of the data set's own columns, with how many cases have them."""
    found = {}
    rows = facts.run.case_rows
    for name in dict.fromkeys(name for row in rows for name in row.strata):
        values: dict[str, int] = {}
        for row in rows:
            value = row.strata.get(name, "").strip() or "missing"
            values[value] = values.get(value, 0) + 1
        listed = ", ".join(f"{safe(value)} {n}" for value, n in sorted(values.items()))
        found[name] = listed if len(values) <= LISTED else f"{len(values)} different values"
    return found


def preprocessing(facts: RunFacts) -> Answer:
    """Options of the preparation that have an effect, by name."""
    return Answer(
        "Through-plane axis first, in-plane resized, slices never resampled, once per volume and "
        "the same for training and held-out cases, with the options "
        f"{options(facts.recipe['preprocessing'], unused=UNUSED)}."
    )


def subsets(facts: RunFacts) -> Answer:
    """Which part of each volume is used."""
    chosen = facts.recipe["preprocessing"]
    cuts = {"margin": chosen["slice_margin"], "at most": chosen["max_slices"]}
    cut = ", ".join(f"{name} {value}" for name, value in cuts.items() if value is not None)
    parts = [
        f"in-plane crop: {plain(chosen['crop'])}",
        f"slices cut: {cut}" if cut else "all slices kept",
    ]
    left = "whether these cases are a selection from a larger data set"
    if facts.slice_level:
        parts.append("only representative slices, named by the data set, are trained and scored")
        left += ", and who chose the representative slices"
    return Answer(f"Of each volume: {'; '.join(parts)}.", left)


def missing(facts: RunFacts) -> Answer:
    """Cases that were not predicted, and values that are not there."""
    total = len(facts.assigned)
    parts = []
    if facts.held_out:
        parts.append(f"{facts.held_out} of {counted(total, 'case')} were held out and predicted")
    if facts.missing:
        columns = ", ".join(f"{safe(name)} {n}" for name, n in facts.missing.items())
        parts.append(
            f"cases without a value, by column: {columns}; these stand in a subgroup of their own, "
            "and the network does not read the columns"
        )
    return Answer(
        "; ".join(parts) + "." if parts else "",
        "what was left out before these cases were listed, and why",
    )


def acquisition(facts: RunFacts) -> Answer:
    """Sizes and spacings as stored; scanners are not known."""
    rows = facts.run.case_rows
    left = "scanner, sequence or protocol, contrast, dates"
    if not rows:
        return Answer(left=left)
    planes = sorted({row.plane for row in rows if row.plane})
    in_plane = (mm for row in rows for mm in row.spacing_mm[1:])
    parts = [
        f"channels {', '.join(map(safe, facts.data['channels']))}",
        f"{span(row.shape[0] for row in rows)} slices",
        f"distance between slices {span((row.spacing_mm[0] for row in rows), 'mm')}",
        f"between pixels {span(in_plane, 'mm')}",
        *([f"slices lie {', '.join(planes)}"] if planes else []),
    ]
    return Answer(f"As stored ({counted(len(rows), 'case')}): {'; '.join(parts)}.", left)


def predictors(facts: RunFacts) -> Answer:
    """The network reads the image and nothing else."""
    channels = ", ".join(map(safe, facts.data["channels"]))
    return Answer(
        f"The voxels of the prepared volume (channels {channels}) and nothing else; no clinical "
        "variable enters the network.",
        "why images of this kind, and why no other variable",
    )


def outcome(facts: RunFacts) -> Answer:
    """Names of the classes."""
    classes = ", ".join(map(safe, facts.classes))
    positive = f"; {safe(facts.classes[-1])} counts as positive" if len(facts.classes) == 2 else ""
    return Answer(
        f"One label per case, one of {classes}{positive}.",
        "what the classes mean, how and when they were determined, and why this outcome",
    )


def test_labels(facts: RunFacts) -> Answer:
    """One label for every purpose."""
    return Answer(
        "Held-out cases are scored against the same label of the data set as is used in training.",
        "who set these labels, and whether those of held-out cases were set in the same way",
    )


def sample_size(facts: RunFacts) -> Answer:
    """What there is; what was intended is not known."""
    held = f"; {facts.held_out} of them held out and scored so far" if not facts.complete else ""
    return Answer(
        f"Used: {cohort(facts)}{held}.",
        "which size was intended, how it was reached and why it is enough",
    )


def included(facts: RunFacts) -> Answer:
    """Numbers after exclusion."""
    return Answer(
        f"Included: {cohort(facts)}.", "how many were excluded at each step, and why; a diagram"
    )


def characteristics(facts: RunFacts) -> Answer:
    """What columns say of the cases; classes and sizes otherwise."""
    strata = "; ".join(f"{safe(name)}: {values}" for name, values in strata_values(facts).items())
    parts = [f"{cohort(facts)}.", strata and f"{strata}.", acquisition(facts).known]
    return Answer(
        " ".join(part for part in parts if part),
        "age, sex and clinical characteristics, for each part, as far as not given",
    )


def sharing(facts: RunFacts) -> Answer:
    """Licence of the data."""
    data = facts.data
    known = "; ".join(
        f"{name}: {safe(data[key])}"
        for name, key in (("licence", "licence"), ("citation", "citation"), ("address", "url"))
        if data.get(key)
    )
    return Answer(known + "." if known else "", "where the data and labels can be had, by whom")

"""Rows of predictions, written in a line each."""

from volbench.runs.predictions_file import Prediction

CLASSES = ("T2", "T3")


def row(case, label, positive, *, patient=None, fold=0, slice=None):  # noqa: A002
    return Prediction(
        case=case,
        patient=patient or f"patient of {case}",
        label=label,
        fold=fold,
        slice=slice,
        probabilities=(1 - positive, positive),
    )


def slices(case, label, *positive, **where):
    return [row(case, label, value, slice=n, **where) for n, value in enumerate(positive)]


# Slices of two positive and two negative patients; of the nine pairs of slices seven are in the
# right order (0.2 is below 0.5 and 0.4), and of the four pairs of means all.
SLICES = [
    *slices("A", "T3", 0.9, 0.2),
    *slices("B", "T3", 0.6),
    *slices("C", "T2", 0.5, 0.1),
    *slices("D", "T2", 0.4),
]

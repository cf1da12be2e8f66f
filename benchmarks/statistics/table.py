"""The simulated studies as tables of Markdown: how often each test claims a difference.

python benchmarks/statistics/table.py [--results FOLDER]
"""

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from scipy import stats
from simulate import RESULTS, Line, place_of, read
from studies import BETTER, CAPACITY, FEW, NULL, RANDOM, REPEATED, SEEDS

from volbench.evaluation.statistics.cross_validated import FACTOR

ALPHA = 0.05
Rule = dict[str, np.ndarray]


def p_values(lines: list[Line]) -> Rule:
    """What each test says of each study."""
    column = {name: np.array([getattr(line, name) for line in lines]) for name in vars(lines[0])}
    size, of_cases = np.abs(column["difference"]), column["delong"] ** 2
    of_folds = column["std"] ** 2 / column["folds"]
    larger = np.maximum(of_cases, of_folds)

    def normal(variance: np.ndarray) -> np.ndarray:
        return np.asarray(2 * stats.norm.sf(size / np.sqrt(np.maximum(variance, 1e-24))))

    return {
        "corrected t": column["corrected"],
        f"**{FACTOR:g} max**": normal(FACTOR * larger),
        "1.25 max": normal(1.25 * larger),
        "paired t": 2 * stats.t.sf(size / np.sqrt(of_folds), column["folds"] - 1),
        "DeLong in folds": normal(of_cases),
        "DeLong pooled": column["pooled"],
    }


def rate(p: np.ndarray) -> str:
    """Per cent of studies with a claim, and its 95 % interval (Wilson)."""
    if np.isnan(p).all():
        return "–"
    claims, n = int((p < ALPHA).sum()), len(p)
    low, high = stats.binomtest(claims, n).proportion_ci(method="wilson")
    return f"{100 * claims / n:.1f} ({100 * low:.1f}–{100 * high:.1f})"


def rows(names: Mapping[str, object], results: Path) -> Iterator[str]:
    """Lines of a table; scenarios without a study are left out."""
    found = {name: lines for name in names if (lines := read(place_of(name, results)))}
    if not found:
        return
    rules = list(p_values(next(iter(found.values()))))
    yield "| scenario | studies | " + " | ".join(rules) + " | difference | ratio |"
    yield "| --- | ---: |" + " ---: |" * (len(rules) + 2)
    for name, lines in found.items():
        difference = np.array([line.difference for line in lines])
        of_cases = np.mean([line.delong**2 for line in lines])
        cells = [rate(p) for p in p_values(lines).values()]
        yield (
            f"| {name} | {len(lines)} | "
            + " | ".join(cells)
            + f" | {difference.mean():+.3f} | {difference.var(ddof=1) / of_cases:.2f} |"
        )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--results", type=Path, default=RESULTS)
    results = parser.parse_args().results
    for title, names in (
        ("No candidate is better", NULL),
        ("One way of training, two seeds", SEEDS),
        ("The first is better", BETTER),
        ("More features than patients can tell", CAPACITY),
        ("Two and three folds", FEW),
        ("Random splits", RANDOM),
        ("Three divisions into folds", REPEATED),
    ):
        print(f"\n{title}\n")
        print("\n".join(rows(names, results)))


if __name__ == "__main__":
    main()

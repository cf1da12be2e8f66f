"""What a candidate is called on every data set: its components, and settings where those are not
enough.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from volbench.errors import UsageError
from volbench.experiment.setting_differences import COMPONENTS, differing_settings
from volbench.leaderboard.statistics.comparison import Candidate, Comparison

NOT_A_CANDIDATE = (*COMPONENTS, "seed")
"""Seeds repeat a candidate; they make no other one."""


class Name(NamedTuple):
    """Encoder, aggregator, loss, and a heading and a value of each setting that tells rows apart.

    Settings are those in which rows with these components differ on the same data set. What
    differs between data sets only, such as how each is prepared, is no part of a name.
    """

    encoder: str
    aggregator: str
    loss: str
    settings: tuple[tuple[str, str], ...] = ()

    @property
    def text(self) -> str:
        """In a line.

        >>> Name("rmc5", "max", "focal", (("epochs", "60"),)).text
        'rmc5, max, focal, epochs 60'
        """
        return ", ".join([*self[:3], *(" ".join(setting) for setting in self.settings)])


def candidates_of(tables: Sequence[Comparison]) -> list[dict[Name, Candidate]]:
    """Complete rows of each table by the candidate that they are.

    Raises:
        UsageError: two rows of a table are one candidate.
    """
    complete = [[row for row in table.rows if row.status == "complete"] for table in tables]
    together: dict[Name, list[tuple[int, Candidate]]] = defaultdict(list)
    for place, rows in enumerate(complete):
        for row in rows:
            together[Name(row.encoder, row.aggregator, row.loss)].append((place, row))
    found: list[dict[Name, Candidate]] = [{} for _ in tables]
    for components, members in together.items():
        texts = _telling_apart(members)
        for number, (place, row) in enumerate(members):
            settings = tuple((heading, values[number]) for heading, values in texts.items())
            name = components._replace(settings=settings)
            if name in found[place]:
                raise UsageError(
                    f"--over-datasets: {found[place][name].name} and {row.name} are one candidate "
                    f"({name.text}) on {tables[place].first_run.data}; leave one out with --where, "
                    "or add --repeats"
                )
            found[place][name] = row
    return found


def _telling_apart(members: Sequence[tuple[int, Candidate]]) -> Mapping[str, Sequence[str]]:
    """Settings of which some data set has two values, by heading."""
    found = {}
    for setting in differing_settings([row.runs[0].experiment for _, row in members]):
        by_table: dict[int, set[str]] = defaultdict(set)
        for (place, _), text in zip(members, setting.texts, strict=True):
            by_table[place].add(text)
        if setting.key not in NOT_A_CANDIDATE and any(len(each) > 1 for each in by_table.values()):
            found[setting.heading] = setting.texts
    return found

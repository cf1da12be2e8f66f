"""Installed components, recipes and plugins as values, as `volbench list` prints them."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Generic, TypeVar, overload

from volbench._utils.text import suggestion
from volbench.errors import UsageError
from volbench.experiment.recipes import built_in_recipes
from volbench.plugins import catalog
from volbench.plugins.catalog import Item, Plugin
from volbench.plugins.registry import REGISTRIES

if TYPE_CHECKING:
    import pandas as pd

KINDS = (*REGISTRIES, "recipes", "plugins")

Entry = TypeVar("Entry", bound=Item | Plugin)


class Listing(tuple[Entry, ...], Generic[Entry]):
    """Everything of one kind that is installed; a tuple with a table in a notebook.

    >>> import volbench
    >>> volbench.list("aggregators").names[:3]
    ('attention', 'average', 'bilinear')
    """

    kind: str

    def __new__(cls, kind: str, entries: Iterable[Entry]) -> "Listing[Entry]":
        made = super().__new__(cls, entries)
        made.kind = kind
        return made

    @property
    def names(self) -> tuple[str, ...]:
        """Names as a spec or an option takes them."""
        return tuple(
            entry.distribution if isinstance(entry, Plugin) else entry.name for entry in self
        )

    @property
    def frame(self) -> "pd.DataFrame":
        """One row per entry."""
        import pandas as pd

        return pd.DataFrame([vars(entry) for entry in self])

    def __repr__(self) -> str:
        if len(self) == 1:
            one = REGISTRIES[self.kind].kind if self.kind in REGISTRIES else self.kind[:-1]
            return f"<1 {one}: {self.names[0]}>"
        shown = ", ".join(self.names[:5]) + (", …" if len(self) > 5 else "")
        return f"<{len(self)} {self.kind}: {shown}>" if self else f"<no {self.kind}>"

    def _repr_html_(self) -> str:
        return str(self.frame.to_html(index=False))


@overload
def list_components(kind: None = None) -> "dict[str, Listing[Item] | Listing[Plugin]]": ...


@overload
def list_components(kind: str) -> "Listing[Item] | Listing[Plugin]": ...


def list_components(
    kind: str | None = None,
) -> "Listing[Item] | Listing[Plugin] | dict[str, Listing[Item] | Listing[Plugin]]":
    """List what is installed, as `volbench list` does; imports no component.

    Args:
        kind: ``encoders``, ``aggregators``, ``losses``, ``augmentations``, ``datasets``,
            ``executors``, ``trackers``, ``recipes`` or ``plugins``; None lists all of them by kind.
            Plugins asked for by name are imported once, in a process of their own, to tell their
            ``state``.

    Raises:
        UsageError: no such kind.

    >>> import volbench
    >>> volbench.list("losses")
    <9 losses: auc_margin, center, corn, cross_entropy, focal, …>
    >>> volbench.list("trackers")
    <1 tracker: tensorboard>
    >>> volbench.list("encoders")[0].distribution
    'volbench'
    """
    if kind is None:
        return {name: _listing(name) for name in KINDS}
    if kind not in KINDS:
        raise UsageError(f"no kind of component is called {kind!r}; {suggestion(kind, KINDS)}")
    return _listing(kind, trial=True)


def _listing(kind: str, *, trial: bool = False) -> "Listing[Item] | Listing[Plugin]":
    if kind == "plugins":
        return Listing(kind, catalog.plugins(trial=trial))
    if kind == "recipes":
        return Listing(kind, built_in_recipes())
    return Listing(kind, catalog.components(kind))

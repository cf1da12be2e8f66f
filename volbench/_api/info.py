"""Information on a component or a recipe, as `volbench info` shows it."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from volbench.encoders.building import SharedOptions, build_encoder
from volbench.errors import UnknownComponentError, UsageError
from volbench.experiment.recipe import ALIASES, load_recipe, recipe_names
from volbench.experiment.recipe_info import RecipeKey, recipe_info
from volbench.experiment.recipes import built_in_recipes
from volbench.plugins.component_info import ComponentInfo
from volbench.plugins.component_info import describe as describe_component
from volbench.plugins.registry import encoders
from volbench.profiling.encoder_cost import Profile, profile_encoder

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class MeasuredInfo(ComponentInfo):
    """A component and, for an encoder, its parameters, FLOPs and receptive field."""

    profile: Profile | None = None

    def __repr__(self) -> str:
        cost = "" if self.profile is None else f", {self.profile.parameters:,} parameters"
        return f"<{self.kind} {self.name} of {self.provider}{cost}>"


@dataclass(frozen=True)
class RecipeInfo:
    """A recipe with its keys.

    Attributes:
        name: As after ``--recipe``.
        summary: What it is for.
        keys: Each key with its value, meaning, bounds and search space.
    """

    name: str
    summary: str
    keys: tuple[RecipeKey, ...]

    @property
    def frame(self) -> "pd.DataFrame":
        """One row per key."""
        import pandas as pd

        return pd.DataFrame([vars(key) for key in self.keys])

    def __repr__(self) -> str:
        return f"<recipe {self.name}: {len(self.keys)} keys>"

    def _repr_html_(self) -> str:
        return str(self.frame.to_html(index=False))


def is_recipe(name: str) -> bool:
    """Whether a name is that of a recipe or of a recipe's file."""
    return name.endswith(".toml") or name in (*recipe_names(), *ALIASES)


def info(name: str, *, kind: str | None = None, in_channels: int = 1) -> MeasuredInfo | RecipeInfo:
    """Describe a component or a recipe, as `volbench info` does.

    Args:
        name: A component's name, a spec with arguments such as ``timm(name="resnet50")``, a recipe,
            or a recipe's file.
        kind: ``encoder``, ``aggregator``, ``loss``, ``augmentation``, ``dataset`` or ``executor``,
            where a name is that of several.
        in_channels: Channels an encoder is built for, to be measured.

    Raises:
        SpecError: the text is no spec, or its arguments fit no component of that name.
        UnknownComponentError: no component has the name; names the nearest one.
        UsageError: components of several kinds have the name, or none of ``kind``.
        PluginError: the component cannot be imported or built.

    >>> import volbench
    >>> volbench.info("focal")
    <loss focal of volbench 0.1.0>
    >>> volbench.info("r2d(width=4)").profile.num_features
    32
    >>> volbench.info("standard").frame["key"][0]
    'preprocessing.size'
    """
    if kind is None and is_recipe(name):
        return RecipeInfo(name, load_recipe(name).summary, tuple(recipe_info(name)))
    found = [one for one in describe(name, in_channels=in_channels) if kind in (None, one.kind)]
    if len(found) == 1:
        return found[0]
    there = " and ".join(one.kind for one in describe(name, in_channels=in_channels))
    way_out = "say which with kind=" if kind is None else f"there is no {kind} of that name"
    raise UsageError(f"{name!r} is the name of: {there}; {way_out}")


def describe(text: str, *, in_channels: int = 1) -> tuple[MeasuredInfo, ...]:
    """Describe the components that a spec names, one of each kind that has the name.

    Args:
        text: A name, or a spec with arguments such as ``timm(name="resnet50")``.
        in_channels: Channels an encoder is built for, to be measured.

    Raises:
        SpecError: the text is no spec, or its arguments fit no component of that name.
        UnknownComponentError: no component has the name; names the nearest one.
        PluginError: the component cannot be imported or built.

    >>> (focal,) = describe("focal")
    >>> focal.kind, focal.source
    ('loss', 'volbench.losses.focal:Focal')
    """
    try:
        found = describe_component(text, shared_options={encoders.kind: asdict(SharedOptions())})
    except UnknownComponentError:
        if text in {recipe.name for recipe in built_in_recipes()}:
            raise UnknownComponentError(
                f"{text!r} is a recipe, not a component; `volbench list recipes` describes it"
            ) from None
        raise
    return tuple(MeasuredInfo(**vars(one), profile=_cost(one, in_channels)) for one in found)


def _cost(component: ComponentInfo, in_channels: int) -> Profile | None:
    if component.kind != encoders.kind:
        return None
    return profile_encoder(build_encoder(component.name, in_channels), in_channels)

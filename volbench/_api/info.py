"""Information on a component with its measured cost, as `volbench info` shows it."""

from dataclasses import asdict, dataclass

from volbench.encoders.building import SharedOptions, build_encoder
from volbench.errors import UnknownComponentError
from volbench.experiment.recipes import built_in_recipes
from volbench.plugins.component_info import ComponentInfo
from volbench.plugins.component_info import describe as describe_component
from volbench.plugins.registry import encoders
from volbench.profiling.encoder_cost import Profile, profile_encoder


@dataclass(frozen=True)
class MeasuredInfo(ComponentInfo):
    """A component and, for an encoder, its parameters, FLOPs and receptive field."""

    profile: Profile | None = None


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

"""Augmentations one after the other: TorchIO's per subject on the CPU, then ours per batch.

Source: nothing to cite.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from volbench._utils.case_generator import CaseGenerator
from volbench.augmentations.none import NoAugmentation
from volbench.errors import SpecError
from volbench.interfaces import Augmentation
from volbench.plugins.registry import augmentations
from volbench.plugins.torchio_transforms import build_random, is_bridged
from volbench.spec import parse_sum
from volbench.types import SliceMask, Volume


class Chain(Augmentation):
    """Applies several augmentations to a batch, in their order.

    Args:
        steps: At least one.
    """

    def __init__(self, steps: Sequence[Augmentation]) -> None:
        self.steps = tuple(steps)

    def __call__(self, volume: Volume, mask: SliceMask, generator: CaseGenerator) -> Volume:
        """Draw for one after the other from the same streams."""
        for step in self.steps:
            volume = step(volume, mask, generator)
        return volume

    def eval_view(self, volume: Volume) -> Volume:
        """Return what evaluation sees after all of them."""
        for step in self.steps:
            volume = step.eval_view(volume)
        return volume


@dataclass(frozen=True)
class AugmentationPlan:
    """What happens to a training case before the network sees it.

    Attributes:
        subject: A TorchIO transform, applied to the subject on a CPU worker; None if there is none.
        batch: What is then done to the batch on its device.
    """

    subject: Callable[[Any], Any] | None
    batch: Augmentation


def build_augmentation(text: str) -> AugmentationPlan:
    """Build ``flip``, ``torchio.RandomNoise(p=0.5)``, or several with ``+`` between them.

    Raises:
        UnknownComponentError: no such augmentation.
        SpecError: its values do not fit, it has a weight, or one of TorchIO's follows one of ours.
        PluginError: it cannot be imported or built.

    >>> plan = build_augmentation("torchio.RandomNoise(p=0.5)+flip")
    >>> type(plan.subject).__name__, type(plan.batch).__name__
    ('RandomNoise', 'Flip')
    """
    terms = parse_sum(text).terms
    for term in terms:
        if term.weight != 1:
            raise SpecError(f"augmentation {term}: an augmentation has no weight; give it p=...")
    specs = [term.spec for term in terms]
    bridged = [is_bridged(spec.name) for spec in specs]
    count = sum(bridged)
    if not all(bridged[:count]):
        late = next(spec for spec, its in zip(specs[1:], bridged[1:], strict=True) if its)
        raise SpecError(
            f"augmentation {text}: TorchIO's transforms run first, on the CPU; "
            f"write {late} before volbench's own"
        )
    ours = [augmentations.build(spec, Augmentation) for spec in specs[count:]]
    return AugmentationPlan(
        subject=_composed([build_random(spec) for spec in specs[:count]]),
        batch=ours[0] if len(ours) == 1 else Chain(ours) if ours else NoAugmentation(),
    )


def _composed(transforms: list[Any]) -> Callable[[Any], Any] | None:
    if len(transforms) > 1:
        import torchio

        found: Callable[[Any], Any] = torchio.Compose(transforms)
        return found
    return transforms[0] if transforms else None

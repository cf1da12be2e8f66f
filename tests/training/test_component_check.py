"""A check of components before training: what one breaks is told in one line, with its place."""

import re

import numpy as np
import pytest
import torch

from tests.helpers.small import write_small
from tests.training.test_fold import make_experiment, make_trainer
from volbench.crossval import fold_task, make_plan, run
from volbench.errors import PluginError
from volbench.interfaces import Aggregator, Encoder, Loss
from volbench.plugins.registry import aggregators, augmentations, encoders, losses
from volbench.training.component_check import component_at_fault, try_components


class Plain(Encoder):
    """A mean and a scale; every broken one below changes one line."""

    def __init__(self, in_channels):
        super().__init__()
        self.num_features = 4
        self.scale = torch.nn.Parameter(torch.ones(4))

    def forward(self, volume, mask=None):
        return volume.mean(dim=(1, 3, 4))[..., None] * self.scale


class TooLong(Plain):
    def forward(self, volume, mask=None):
        return super().forward(volume).repeat(1, 1, 2)


class NotANumber(Plain):
    def forward(self, volume, mask=None):
        return super().forward(volume) * float("nan")


class Infinite(Plain):
    def forward(self, volume, mask=None):
        return (super().forward(volume).abs() + 1) / 0.0


class NoGradient(Plain):
    """A sound value whose gradient is none: of a root at zero."""

    def forward(self, volume, mask=None):
        return super().forward(volume) + (self.scale - 1).square().sqrt()


class Frozen(Plain):
    def __init__(self, in_channels):
        super().__init__(in_channels)
        self.scale.requires_grad_(False)


class Raises(Plain):
    def forward(self, volume, mask=None):
        return volume.reshape(7, 13)


class Exits(Plain):
    def forward(self, volume, mask=None):
        raise SystemExit(3)


class Detached(Plain):
    def forward(self, volume, mask=None):
        return super().forward(volume).detach()


class Text(Plain):
    def forward(self, volume, mask=None):
        return "tokens"


class Nameless(Plain):
    def __init__(self, in_channels):
        super().__init__(in_channels)
        del self.num_features


class NotPooled(Aggregator):
    def __init__(self, num_features):
        super().__init__()
        self.num_features = num_features

    def forward(self, tokens, mask=None):
        return tokens


class Fraction(NotPooled):
    def __init__(self, num_features):
        super().__init__(num_features)
        self.num_features = num_features / 2


class PerCase(Loss):
    def __init__(self, problem):
        super().__init__()

    def forward(self, output, labels):
        return output.logits.square().sum(dim=1)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return write_small(tmp_path_factory.mktemp("small"), cases=24)


def tried(prepared, folder, **components):
    return try_components(make_trainer(prepared, folder, make_experiment(prepared, **components)))


def test_sound_components_pass_and_say_what_they_cost(prepared, tmp_path):
    cost = tried(prepared, tmp_path, encoder="rmc5(width=4)", loss="focal+triplet")
    assert cost.cases == 4
    assert cost.seconds > 0
    assert cost.memory_mb >= cost.before_mb > 0
    assert not list(tmp_path.iterdir())


def test_a_frozen_encoder_needs_no_gradient(prepared, tmp_path):
    with encoders.adding(frozen=Frozen):
        assert tried(prepared, tmp_path, encoder="frozen", aggregator="max").cases == 4


def test_slices_are_tried_too(prepared, tmp_path):
    assert tried(prepared, tmp_path, aggregator=None, loss="cross_entropy").cases == 4


@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        (TooLong, r"gives tokens of shape \(4, \d+, 8\), not \(4, \d+, 4\)"),
        (NotANumber, "gives tokens with NaN"),
        (Infinite, "gives tokens with infinity"),
        (NoGradient, "its gradient holds NaN or infinity"),
        (Raises, r"its forward pass fails \(RuntimeError: shape '\[7, 13\]' is invalid"),
        (Exits, r"its forward pass fails \(SystemExit: 3\)"),
        (Detached, "none of its parameters has a gradient; do not detach"),
        (Text, "(gives a str, not|its forward pass fails .TypeCheckError)"),
    ],
)
def test_a_broken_encoder_is_refused_in_a_line_with_its_place(prepared, tmp_path, broken, problem):
    with encoders.adding(broken=broken), pytest.raises(PluginError) as caught:
        tried(prepared, tmp_path, encoder="broken")
    said = str(caught.value)
    assert re.match(f"encoder broken of this process: {problem}", said), said
    assert re.search(r"test_component_check\.py:\d+\)$", said)
    assert "\n" not in said


@pytest.mark.parametrize(
    ("registry", "broken", "option", "said"),
    [
        (encoders, Nameless, "encoder", "encoder broken of this process has no num_features"),
        (aggregators, Fraction, "aggregator", "has num_features=32.0; its __init__ must set it"),
        (aggregators, NotPooled, "aggregator", r"gives vectors of shape \(4, \d+, 64\), not"),
        (losses, PerCase, "loss", r"loss broken of this process: gives a value of shape \(4,\)"),
    ],
)
def test_other_components_are_named_too(prepared, tmp_path, registry, broken, option, said):
    chosen = {"encoder": "r2d(width=8)", option: "broken"}
    with registry.adding(broken=broken), pytest.raises(PluginError, match=said) as caught:
        tried(prepared, tmp_path, **chosen)
    assert re.search(r"test_component_check\.py:\d+\)$", str(caught.value))


def test_an_augmentation_that_loses_slices_is_refused(prepared, tmp_path):
    flip = augmentations["flip"]

    class Shorter(flip):
        def __call__(self, volume, mask, generator):
            return super().__call__(volume, mask, generator)[:, :, :-1]

    with augmentations.adding(shorter=Shorter), pytest.raises(PluginError) as caught:
        tried(prepared, tmp_path, overrides=("training.augmentation=shorter",))
    said = (
        r"augmentation shorter of this process: (gives volumes of shape|a batch fails).*\.py:\d+\)$"
    )
    assert re.match(said, str(caught.value))  # tests check types, which is sooner


class NanOfSome(Plain):
    """No number where a volume is bright, which the first cases of each class need not be."""

    least = 0.0

    def forward(self, volume, mask=None):
        odd = volume.amax(dim=(1, 2, 3, 4)) >= self.least
        return torch.where(odd[:, None, None], torch.nan, super().forward(volume))


class NanLater(Plain):
    """No number from the first batch of the second epoch on."""

    first_epoch = 10**9
    batches = 0

    def forward(self, volume, mask=None):
        NanLater.batches += self.training
        late = self.training and NanLater.batches > self.first_epoch
        return super().forward(volume) * (float("nan") if late else 1.0)


class NanOnceTrained(Plain):
    """No number as soon as its weights have moved, which untrained weights do not show."""

    def forward(self, volume, mask=None):
        moved = (self.scale.detach() != 1).any()
        return torch.where(moved, torch.nan, super().forward(volume))


class NanOfTheLoss(PerCase):
    def forward(self, output, labels):
        return (output.logits.sum() * 0 - 1).log()


def failure(prepared, folder, *overrides, **components):
    """The reason for which a fold failed, as its record has it."""
    named = {"encoder": "r2d(width=2)", "aggregator": "max", "loss": "focal", **components}
    quick = ("training.epochs=2", "training.augmentation=none", "selection.checkpoint=last")
    plan = make_plan(**named, data=str(prepared.folder), folds="3", overrides=(*quick, *overrides))
    (result,) = run(plan, out=folder, name="run", jobs=1, device="cpu", folds=[0]).failed
    return result.error


def test_a_component_that_gives_no_numbers_is_named_and_no_rate_blamed(prepared, tmp_path):
    bright = np.sort([np.asarray(prepared.volume(n)).max() for n in range(len(prepared.cases))])
    NanOfSome.least = float(bright[-4])
    with encoders.adding(broken=NanOfSome), losses.adding(odd=NanOfTheLoss):
        said = failure(prepared, tmp_path / "encoder", encoder="broken")
        assert re.match(
            r"the loss became nan in epoch \d \(focal\): encoder broken of this process: "
            r"gives tokens with NaN \(.*test_component_check\.py:\d+\)$",
            said,
        ), said
        said = failure(prepared, tmp_path / "loss", loss="focal+odd")
        assert re.match(
            r"the loss became nan in epoch 1 \(odd\): loss odd of this process: gives a value with",
            said,
        ), said


def test_an_augmentation_that_gives_no_numbers_is_named_and_not_what_comes_after(
    prepared, tmp_path
):
    flip = augmentations["flip"]

    class Odd(flip):
        """No number in volumes that are bright, which the first cases need not be."""

        def __call__(self, volume, mask, generator):
            found = super().__call__(volume, mask, generator)
            odd = found.amax(dim=tuple(range(1, found.ndim))) >= least
            return torch.where(odd.reshape(-1, *[1] * (found.ndim - 1)), torch.nan, found)

    bright = np.sort([np.asarray(prepared.volume(n)).max() for n in range(len(prepared.cases))])
    least = float(bright[-4])
    with augmentations.adding(odd=Odd):
        said = failure(prepared, tmp_path, "training.augmentation=odd")
    assert ": augmentation odd of this process: gives volumes with NaN" in said, said


def test_the_batches_that_are_looked_into_are_those_of_the_epoch_that_failed(
    prepared, tmp_path, monkeypatch
):
    trainer = make_trainer(prepared, tmp_path)
    drawn, order, augmented = [], trainer.batches.draw, trainer.batches.augmented
    monkeypatch.setattr(trainer.batches, "draw", lambda n: (drawn.append(n), order(n))[1])
    monkeypatch.setattr(
        trainer.batches, "augmented", lambda some, n: (drawn.append(n), augmented(some, n))[1]
    )
    assert component_at_fault(trainer, 3) is None
    assert drawn == [3, 3]
    NanLater.batches = 0
    monkeypatch.setattr(NanLater, "first_epoch", len(order(1)))
    asked = []
    monkeypatch.setattr(fold_task, "component_at_fault", lambda trainer, n: asked.append(n))
    with encoders.adding(broken=NanLater):
        said = failure(prepared, tmp_path / "run", "training.batch_size=8", encoder="broken")
    assert f"in epoch {asked[0]}" in said
    assert asked[0] == 2


def test_a_component_that_may_be_to_blame_is_named_beside_the_rate(prepared, tmp_path):
    with encoders.adding(broken=NanOnceTrained):
        said = failure(prepared, tmp_path, "training.clip_norm=0", encoder="broken")
    assert said.endswith(
        "; lower optimizer.lr, or clip gradients (training.clip_norm=1); if neither helps, look "
        "into encoder broken of this process"
    )


@pytest.mark.parametrize(
    ("norm", "advice"),
    [
        ("0", "lower optimizer.lr, or clip gradients (training.clip_norm=1)"),
        ("1e9", "lower optimizer.lr, or training.clip_norm (now 1e+09)"),
    ],
)
def test_steps_that_are_too_large_are_no_components_doing(prepared, tmp_path, norm, advice):
    rate = ("optimizer.name=sgd", "optimizer.lr=1e9", f"training.clip_norm={norm}")
    said = failure(prepared, tmp_path, *rate)
    assert said.endswith(f"; {advice}"), said
    assert "of this process" not in said

"""What a recipe asks for happens inside training: tested by its effect, on weights and draws."""

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load

from tests.helpers.small import write_small
from volbench.data.loading.loader import Batch, open_loader
from volbench.errors import TrainingError
from volbench.experiment.experiment import Experiment
from volbench.experiment.recipe import load_recipe
from volbench.experiment.split_designs import make_split
from volbench.experiment.splits import FoldPartition
from volbench.interfaces import Problem
from volbench.losses.cross_entropy import CrossEntropy
from volbench.profiling.section_timer import Clock
from volbench.spec import parse, parse_sum
from volbench.training import fold as fold_module
from volbench.training.checkpoint import (
    Best,
    Progress,
    read_checkpoint,
    snapshot,
    write_checkpoint,
)
from volbench.training.classifier import SliceIndex, build_classifier, probabilities, shrink_mask
from volbench.training.device_and_precision import choose_compute
from volbench.training.fold import FoldTrainer
from volbench.training.inference import predict, representative_items
from volbench.training.loss_terms import inactive
from volbench.training.optimizer import SCALE, build_optimizer, set_learning_rate
from volbench.training.regularization import Mixing, Regularizer
from volbench.training.selection import selection_score
from volbench.training.step import TrainingStep
from volbench.training.tta import build_views
from volbench.types import Output

PLAIN = (
    "training.epochs=3",
    "training.batch_size=6",
    "training.augmentation=none",
    "optimizer.weight_decay=0.0",
    "schedule.name=constant",
    "schedule.warmup_fraction=0.0",
    "tta.passes=0",
)
FLIPPED = "training.augmentation=flip"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return write_small(tmp_path_factory.mktemp("small"), cases=24)


@pytest.fixture
def trainer(prepared, tmp_path):
    """Make a trainer of a recipe; it is not run yet."""

    def make(
        *overrides, loss="focal", aggregator="average", seed=0, fold=0, part=None, report=None
    ):
        recipe = load_recipe("standard", (*PLAIN, *overrides))
        split = make_split(prepared.cases, 3, 0)
        experiment = Experiment(
            encoder=parse("r2d(width=2)"),
            aggregator=aggregator and parse(aggregator),
            loss=parse_sum(loss),
            recipe=recipe,
            source=prepared.source,
            data_digest=prepared.digest,
            split_digest=split.digest,
            folds=3,
            seed=seed,
        )
        kept = 0.2 if recipe.selection.checkpoint == "validation" else None
        return FoldTrainer(
            experiment,
            prepared,
            part or split.part(fold, validation_fraction=kept, seed=0),
            fold,
            choose_compute("cpu", "float32", jobs=1),
            checkpoint=tmp_path / f"{len(list(tmp_path.iterdir()))}" / "checkpoint",
            on_epoch=report or (lambda report: None),
            checkpoint_seconds=1e9,
        )

    return make


def weights(module):
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def first_batch(trainer):
    return next(trainer.batches.augmented(trainer.batches.draw(1)[:1], 1))


# What is scored and kept


@pytest.mark.parametrize("ema", ["0.0", "0.5"])
def test_the_weights_of_the_selected_epoch_are_scored_and_kept(trainer, monkeypatch, ema):
    monkeypatch.setattr(
        fold_module, "selection_score", lambda selection, row: (-abs(row["epoch"] - 2),)
    )
    seen, trained_weights = [], []

    def note(report):
        seen.append(snapshot(made.scored))
        trained_weights.append(snapshot(made.model))

    made = trainer("regularization.ema=" + ema, report=note)
    trained = made.run()
    assert trained.selected_epoch == 2
    assert same(load(trained.model), seen[1])
    assert not same(seen[1], seen[2])
    again = predict(
        made.scored, made.loader, made.prepared, made.part.test, made.compute, made.views
    )
    assert same(snapshot(made.scored), seen[1])
    np.testing.assert_array_equal(again.probabilities, trained.scores.probabilities)
    assert same(seen[1], trained_weights[1]) is not bool(float(ema)), "scored: the average, if any"


def test_the_first_of_equal_epochs_is_selected(trainer, monkeypatch):
    monkeypatch.setattr(fold_module, "selection_score", lambda selection, row: (0.5,))
    assert trainer().run().selected_epoch == 1


@pytest.mark.parametrize(
    ("overrides", "better", "worse"),
    [
        (
            ("selection.metric=auc",),
            {"validation_auc": 0.8, "validation_log_loss": 0.3},
            {"validation_auc": 0.8, "validation_log_loss": 0.4},
        ),
        (
            ("selection.metric=auc",),
            {"validation_auc": 0.9, "validation_log_loss": 0.9},
            {"validation_auc": 0.8, "validation_log_loss": 0.3},
        ),
        (
            ("selection.metric=loss",),
            {"validation_auc": 0.1, "validation_log_loss": 0.3},
            {"validation_auc": 0.9, "validation_log_loss": 0.4},
        ),
        (("selection.checkpoint=training_loss",), {"train_loss": 0.3}, {"train_loss": 0.4}),
        (("selection.checkpoint=last",), {"epoch": 3}, {"epoch": 2}),
    ],
)
def test_the_better_epoch_is_selected(trainer, overrides, better, worse):
    selection = trainer(*overrides).recipe.selection
    assert selection_score(selection, better) > selection_score(selection, worse)


def test_each_part_is_scored_as_the_recipe_says(trainer):
    made = trainer("tta.passes=2", "tta.augmentation=flip")
    calls = []
    scored = made._predict

    def noted(indices, views):
        calls.append((indices, views.passes))
        return scored(indices, views)

    made._predict = noted
    made.run()
    epochs = [(made.part.validation, 0)] * 3
    assert calls == [*epochs, (made.part.test, 2), (made.part.validation, 2)]


def test_the_history_tells_the_mean_of_the_steps(trainer):
    made = trainer("training.epochs=1")
    told = []
    step = made.step

    def noted(*arguments):
        told.append(step(*arguments))
        return told[-1]

    made.step = noted
    noted.refusal = None
    trained = made.run()
    assert len(told) > 1
    assert trained.history[0]["train_loss"] == pytest.approx(float(torch.stack(told).mean()))


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_a_loss_that_is_not_finite_ends_the_fold(trainer, value):
    made = trainer()
    made.step = lambda *arguments: torch.tensor(value)
    with pytest.raises(TrainingError, match=f"the loss became {value} in epoch 1"):
        made.run()


# What a step does


def test_a_gradient_is_no_longer_than_the_recipe_allows(trainer):
    moved = {}
    for clip in ("0.0", "0.001"):
        made = trainer(
            "optimizer.name=sgd", "optimizer.momentum=0.0", "optimizer.lr=1.0",
            f"training.clip_norm={clip}",
        )  # fmt: skip
        before = weights(made.model)
        made.model.train()
        made._step(first_batch(made))
        moved[clip] = float((weights(made.model) - before).norm())
    assert moved["0.0"] > 0.01
    assert moved["0.001"] == pytest.approx(0.001, rel=0.01)


def test_gradients_do_not_add_up_over_steps(trainer):
    made = trainer()
    set_learning_rate(made.optimizer, 0.0)
    made.model.train()
    batch = first_batch(made)
    found = []
    for _ in range(2):
        made._step(batch)
        found.append(torch.cat([p.grad.flatten() for p in made.model.parameters()]))
    assert torch.equal(*found)
    assert found[0].norm() > 0


@pytest.mark.parametrize("where", ["volume", "token"])
def test_a_mixed_step_weighs_both_labels_by_their_share(prepared, where, monkeypatch):
    mixing = Mixing(torch.tensor([3, 2, 1, 0]), 0.25)
    monkeypatch.setattr(Regularizer, "draw_mixing", lambda self, batch: mixing)
    options = load_recipe(
        "standard", (*PLAIN, "regularization.mixup=1.0", f"regularization.mixup_on={where}")
    ).regularization
    torch.manual_seed(0)
    model = build_classifier(
        parse("r2d(width=2)"), parse("average"), in_channels=1, num_classes=2
    ).train()
    torch.nn.init.normal_(model.head.weight)
    criterion = CrossEntropy(Problem((2, 2), num_features=model.num_features))
    volume, labels = torch.randn(4, 1, 3, 16, 16), torch.tensor([0, 0, 0, 1])
    twin = copy.deepcopy(model)
    mixed = mixing.mix(volume) if where == "volume" else volume
    tokens = twin.encode(mixed, None, None)
    output = twin.classify(mixing.mix(tokens) if where == "token" else tokens)
    expected = 0.25 * criterion(output, labels) + 0.75 * criterion(output, labels[mixing.partner])
    step = TrainingStep(
        model,
        criterion,
        torch.optim.SGD(model.parameters(), lr=0.1),
        choose_compute("cpu", "float32", jobs=1),
        clip_norm=0.0,
        clock=Clock(torch.device("cpu"), on=False),
        regularizer=Regularizer(options),
    )
    before = weights(model)
    found = step(Batch(np.arange(4), volume, None, labels), None, labels)
    assert float(found) == pytest.approx(float(expected.detach()), rel=1e-5)
    assert abs(float((criterion(output, labels) - expected).detach())) > 1e-3, (
        "or the share says nothing"
    )
    assert not torch.equal(weights(model), before)


# What is drawn


def test_epochs_draw_other_batches_and_each_case_of_the_training_part_alone(trainer):
    made = trainer("training.sampler=natural")
    draws = [made.batches.draw(epoch) for epoch in (1, 2, 1)]
    flat = [np.concatenate(draw).tolist() for draw in draws]
    assert flat[0] != flat[1]
    assert flat[0] == flat[2]
    assert sorted(flat[0]) == sorted(made.part.train)


def test_every_epoch_trains_on_its_own_draws(trainer):
    made = trainer("regularization.slice_dropout=0.3")
    seen = {}
    step = made._step

    def noted(batch):
        epoch["cases"] += batch.cases.tolist()
        epoch["torch"].add(torch.initial_seed())
        epoch["regularizer"].add(made.regularizer.generator.initial_seed())
        return step(batch)

    made._step = noted
    for number in (1, 2):
        epoch = {"cases": [], "torch": set(), "regularizer": set()}
        made._train_epoch(number, [])
        seen = {name: [*seen.get(name, []), value] for name, value in epoch.items()}
    assert seen["cases"][0] != seen["cases"][1]
    assert seen["torch"][0] != seen["torch"][1]
    assert seen["regularizer"][0] != seen["regularizer"][1]


def test_the_same_cases_are_augmented_anew_in_every_epoch(trainer, monkeypatch):
    made = trainer(FLIPPED)
    order = made.batches.draw(1)
    monkeypatch.setattr(made.batches, "draw", lambda epoch: order)
    volumes = []
    step = made._step
    made._step = lambda batch: (volumes.append(batch.volume.clone()), step(batch))[1]
    made._train_epoch(1, [])
    made._train_epoch(2, [])
    first, second = volumes[: len(order)], volumes[len(order) :]
    assert not all(map(torch.equal, first, second))


def test_every_case_is_augmented_by_itself_and_anew_each_time(trainer):
    made = trainer(FLIPPED)
    order = [np.array([0, 1, 0]), np.array([1, 2])]
    seeds = [seed for batch in made.batches._seeds(order, 1) for seed in batch]
    assert len(set(seeds)) == 5
    again = [seed for batch in made.batches._seeds(order, 2) for seed in batch]
    assert not set(seeds) & set(again)


def test_what_is_trained_on_is_augmented(trainer):
    made = trainer(FLIPPED)
    order = made.batches.draw(1)
    plain, drawn = (
        torch.cat([batch.volume.sum(dim=(1, 2, 3))[:, :4] for batch in batches])
        for batches in (made.loader.batches(order), made.batches.augmented(order, 1))
    )
    changed = (plain != drawn).any(dim=1)
    assert changed.any()
    assert not changed.all()


def test_another_fold_and_another_seed_start_from_other_weights(trainer):
    first, fold, seed, again = (
        weights(trainer(fold=fold, seed=seed).model)
        for fold, seed in ((0, 0), (1, 0), (0, 1), (0, 0))
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, fold)
    assert not torch.equal(first, seed)


def test_the_average_counts_steps_over_all_epochs(trainer, monkeypatch):
    made = trainer("regularization.ema=0.9", "training.epochs=2")
    steps = []
    update = made.average.update
    monkeypatch.setattr(
        made.average, "update", lambda model, step: (steps.append(step), update(model, step))
    )
    made.run()
    assert steps == list(range(len(steps)))
    assert len(steps) == 2 * len(made.batches.draw(1))


def test_class_weights_are_those_of_the_training_part(trainer, prepared):
    of = {
        label: [i for i, case in enumerate(prepared.cases) if case.label == label]
        for label in (0, 1)
    }
    part = FoldPartition(
        train=tuple(sorted(of[0][:3] + of[1][:6])),
        validation=tuple(of[0][3:5] + of[1][6:8]),
        test=tuple(of[0][5:] + of[1][8:]),
    )
    made = trainer(loss="cross_entropy(class_weight='balanced')", part=part)
    torch.testing.assert_close(made.criterion.losses[0].weight, torch.tensor([9 / 6, 9 / 12]))


# The optimiser


class Two(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.matrix = torch.nn.Parameter(torch.ones(2, 2))
        self.vector = torch.nn.Parameter(torch.ones(2))


def built(*overrides, criterion=None):
    recipe = load_recipe("standard", overrides)
    model = Two()
    return model, build_optimizer(recipe.optimizer, model, criterion or torch.nn.Module())


def test_matrices_decay_and_vectors_and_centers_do_not():
    model, optimizer = built("optimizer.weight_decay=0.3", criterion=(centers := Two()))
    decay = {p: group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert decay == {model.matrix: 0.3, model.vector: 0.0, centers.matrix: 0.0, centers.vector: 0.0}
    model, optimizer = built("optimizer.weight_decay=0.3", "optimizer.name=sgd")
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.3}


def test_momentum_is_the_recipes():
    _, adam = built("optimizer.momentum=0.77")
    assert {group["betas"] for group in adam.param_groups} == {(0.77, 0.999)}
    _, sgd = built("optimizer.name=sgd", "optimizer.momentum=0.77")
    assert {group["momentum"] for group in sgd.param_groups} == {0.77}


def test_layers_have_the_rates_of_their_place():
    model = build_classifier(parse("r2d(width=2)"), parse("average"), in_channels=1, num_classes=2)
    recipe = load_recipe(
        "standard", ("optimizer.encoder_lr_scale=0.5", "optimizer.layer_decay=0.5")
    )
    optimizer = build_optimizer(recipe.optimizer, model, torch.nn.Module())
    set_learning_rate(optimizer, 8.0)
    rate = {p: float(group["lr"]) for group in optimizer.param_groups for p in group["params"]}
    groups = [list(group) for group in model.encoder.layer_groups()]
    assert rate[model.head.weight] == 8.0
    assert [rate[group[0]] for group in groups[-3:]] == [0.5, 1.0, 2.0]
    assert {group[SCALE] for group in optimizer.param_groups} >= {1.0, 0.25, 0.125}


# The network


def test_a_token_is_real_if_any_of_its_slices_is():
    mask = torch.tensor([[True, True, True, False, False, False], [True] * 5 + [False]])
    assert shrink_mask(mask, 2).tolist() == [[True, True, False], [True, True, True]]
    assert shrink_mask(mask[:, 1:], 2).tolist() == [[True, False, False], [True, True, False]]
    assert shrink_mask(mask, 1) is mask


def test_slice_level_looks_at_the_slices_that_are_named():
    model = build_classifier(parse("r2d(width=2)"), None, in_channels=1, num_classes=2)
    tokens = torch.arange(2 * 3 * model.num_features).float().reshape(2, 3, -1)
    index = SliceIndex(torch.tensor([0, 1, 1]), torch.tensor([2, 0, 1]))
    found = model.classify(tokens, None, index).embedding
    assert torch.equal(found, torch.stack([tokens[0, 2], tokens[1, 0], tokens[1, 1]]))


def test_one_logit_is_that_of_the_second_class_and_several_are_a_softmax():
    def of(*logits):
        return probabilities(Output(torch.tensor([logits]), torch.zeros(1, 1)))[0].tolist()

    assert of(1.0986123) == pytest.approx([0.25, 0.75])
    assert of(0.0, 1.0986123, 0.0) == pytest.approx([0.2, 0.6, 0.2])


# Scoring


def test_scoring_changes_no_statistic_and_keeps_the_order_of_cases(trainer, prepared):
    made = trainer()
    made.model.train()
    before = snapshot(made.model)
    indices = (9, 2, 17, 5)
    scores = made._predict(indices, made.views)
    assert same(snapshot(made.model), before)
    assert scores.cases.tolist() == list(indices)
    assert scores.labels.tolist() == [prepared.cases[index].label for index in indices]
    for place, index in enumerate(indices):
        alone = made._predict((index,), made.views)
        np.testing.assert_allclose(alone.probabilities[0], scores.probabilities[place], atol=1e-6)
    assert len(set(scores.probabilities[:, 1])) == 4


def test_slices_carry_the_label_of_their_case(prepared):
    cases = [replace(prepared.cases[n], representative=(n, 2)) for n in (0, 1)]
    batch = Batch(np.array([0, 1]), torch.zeros(2, 1, 3, 4, 4), None, torch.tensor([0, 1]))
    index, labels = representative_items(batch, cases)
    assert (index.case.tolist(), index.slice.tolist()) == ([0, 0, 1, 1], [0, 2, 1, 2])
    assert labels.tolist() == [0, 0, 1, 1]


def test_views_and_loader_are_those_of_the_recipe(prepared):
    views = build_views(load_recipe("standard", (*PLAIN, "tta.passes=3", FLIPPED)), 5)
    assert (views.passes, views.seed) == (3, 5)
    assert open_loader(prepared, torch.device("cpu")).labels.tolist() == [
        case.label for case in prepared.cases
    ]


def test_the_history_tells_each_term_of_a_sum_and_a_term_that_is_0_is_a_warning(trainer):
    told = []
    made = trainer("training.epochs=2", loss="focal+0.5*triplet", report=told.append)
    history = made.run().history
    assert list(history[0])[:4] == [
        *("epoch", "train_loss", "train_loss focal", "train_loss triplet")
    ]
    for row in history:
        parts = row["train_loss focal"] + row["train_loss triplet"]
        assert row["train_loss"] == pytest.approx(parts, rel=1e-5)
    assert [report.warning for report in told] == [None, None]
    idle = trainer("training.epochs=1", loss="focal+triplet(margin=1e-30)", report=told.append)
    idle.run()
    assert "the loss triplet(margin=1e-30) was 0 in every batch so far" in told[-1].warning
    assert list(trainer("training.epochs=1").run().history[0])[:2] == ["epoch", "train_loss"]


def test_a_term_whose_margin_is_met_after_some_epochs_is_no_warning(trainer, monkeypatch):
    told = []
    made = trainer("training.epochs=3", loss="focal+triplet", report=told.append)
    triplet = made.criterion.losses[1]
    forward = triplet.forward
    monkeypatch.setattr(triplet, "forward", lambda *given: forward(*given) * (0.0 if told else 1.0))
    history = made.run().history
    assert [bool(row["train_loss triplet"]) for row in history] == [True, False, False]
    assert [report.warning for report in told] == [None, None, None]


def test_a_term_that_never_trained_is_told_after_every_epoch_and_one_that_is_no_number_at_once():
    never = [{"epoch": 1, "train_loss triplet": 0.0}, {"epoch": 2, "train_loss triplet": 0.0}]
    for epochs in range(3):
        assert "triplet was 0 in every" in inactive({"focal": 0.4, "triplet": 0.0}, never[:epochs])
    once = [{"epoch": 1, "train_loss triplet": 0.1}]
    assert inactive({"focal": 0.4, "triplet": 0.0}, once) is None
    assert "triplet was nan in an epoch" in inactive({"focal": 1.0, "triplet": math.nan}, once)
    assert "focal was 0 in every" in inactive({"focal": 0.0}, [{"epoch": 1, "train_loss": 0.0}])
    assert inactive({"focal": 0.0}, [{"epoch": 1, "train_loss": 0.1}]) is None


def test_a_loss_that_is_no_number_names_its_term(trainer, monkeypatch):
    made = trainer("training.epochs=1", loss="focal+center")
    center = made.criterion.losses[1]
    monkeypatch.setattr(center, "forward", lambda *given: torch.tensor(float("nan")))
    made.batches.draw = lambda epoch, draw=made.batches.draw: draw(epoch)[:1]
    with pytest.raises(TrainingError, match=r"became nan in epoch 1 \(center\); lower opt"):
        made.run()


def test_terms_of_a_mixed_step_add_up_to_its_loss(trainer):
    made = trainer("training.epochs=1", "regularization.mixup=0.4", loss="focal+0.5*triplet")
    row = made.run().history[0]
    parts = row["train_loss focal"] + row["train_loss triplet"]
    assert row["train_loss"] == pytest.approx(parts, rel=1e-5)
    assert made.criterion.count == 0


def test_a_checkpoint_of_an_older_version_resumes_under_the_present_names(tmp_path):
    network = torch.nn.Linear(1, 1)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    row = {"epoch": 1, "train_loss": 0.5, "validation_loss": 0.25}
    progress = Progress("id", epoch=1, best_score=(0.0,), history=[row])
    write_checkpoint(tmp_path / "c", progress, {"model": network}, optimizer, Best())
    read, _ = read_checkpoint(tmp_path / "c", "id", {"model": network}, optimizer)
    assert read.history == [{"epoch": 1, "train_loss": 0.5, "validation_log_loss": 0.25}]


def test_steps_within_a_long_epoch_are_told_without_waiting_for_the_device(trainer, monkeypatch):
    monkeypatch.setattr(fold_module, "STEP_SECONDS", 0.0)
    told = []
    made = trainer("training.epochs=2")
    made.on_step = told.append
    made.run()
    steps = len(made.batches.draw(1))
    assert [(each.epoch, each.step, each.steps) for each in told] == [
        (epoch, step, steps) for epoch in (1, 2) for step in range(1, steps + 1)
    ]
    assert told[-1].share == 1.0

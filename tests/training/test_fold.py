"""Training of one fold on a small problem that any encoder solves."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.helpers.small import write_small
from volbench.errors import TrainingError
from volbench.evaluation.metrics import area_under_curve
from volbench.experiment.experiment import Experiment
from volbench.experiment.recipe import load_recipe
from volbench.experiment.split_designs import make_split
from volbench.plugins.registry import aggregators, encoders, losses
from volbench.profiling.fold_timings import OTHER
from volbench.profiling.section_timer import SECTIONS, STEP, TRANSFORM
from volbench.spec import parse, parse_sum
from volbench.training import fold as fold_module
from volbench.training.checkpoint import DIGEST_BYTES
from volbench.training.classifier import build_classifier
from volbench.training.device_and_precision import choose_compute
from volbench.training.fold import FoldTrainer

QUICK = ("training.epochs=4", "training.augmentation=flip")


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return write_small(tmp_path_factory.mktemp("small"), cases=24)


def make_experiment(prepared, *, encoder="r2d(width=4)", aggregator="average", loss="focal", **kw):
    overrides = kw.pop("overrides", ())
    split = make_split(prepared.cases, 3, 0)
    return Experiment(
        encoder=parse(encoder),
        aggregator=aggregator and parse(aggregator),
        loss=parse_sum(loss),
        recipe=load_recipe("standard", (*QUICK, *overrides)),
        source=prepared.source,
        data_digest=prepared.digest,
        split_digest=split.digest,
        folds=3,
        **kw,
    )


def make_trainer(
    prepared,
    folder,
    experiment=None,
    *,
    fold=0,
    on_epoch=lambda report: None,
    compute=None,
    profile=False,
):
    experiment = experiment or make_experiment(prepared)
    kept = 0.2 if experiment.recipe.selection.checkpoint == "validation" else None
    part = make_split(prepared.cases, 3, 0).part(fold, validation_fraction=kept, seed=0)
    return FoldTrainer(
        experiment,
        prepared,
        part,
        fold,
        compute or choose_compute("cpu", "float32", jobs=1),
        checkpoint=folder / "checkpoint.safetensors",
        on_epoch=on_epoch,
        checkpoint_seconds=0,
        profile=profile,
    )


@pytest.mark.parametrize(("least", "kept"), [(1, 1), (10**9, 0)])
def test_freed_memory_is_kept_where_batches_are_large(prepared, tmp_path, monkeypatch, least, kept):
    calls = []
    monkeypatch.setattr(fold_module, "keep_freed_memory", lambda: calls.append(1))
    monkeypatch.setattr(fold_module, "LARGE_BATCH_PIXELS", least)
    make_trainer(prepared, tmp_path)
    assert len(calls) == kept


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_fold_learns_what_separates_the_classes(tmp_path, seed):
    prepared = write_small(tmp_path / "data", cases=24, signal=6)  # no seed can miss it
    overrides = ("training.epochs=10", "optimizer.lr=3e-3")
    experiment = make_experiment(prepared, overrides=overrides, seed=seed)
    trained = make_trainer(prepared, tmp_path, experiment).run()
    assert area_under_curve(trained.scores.labels, trained.scores.probabilities) > 0.9
    assert trained.history[-1]["train_loss"] < 0.7 * trained.history[0]["train_loss"]


@pytest.mark.parametrize("killed_after", [1, 3])
def test_a_fold_cut_off_ends_with_the_same_bits(prepared, tmp_path, killed_after):
    experiment = make_experiment(prepared, loss="focal+triplet+0.1*center", encoder="rmc5(width=4)")
    whole = make_trainer(prepared, tmp_path / "whole", experiment).run()

    def kill(report):
        if report.epoch == killed_after + 1:  # the epoch before it was checkpointed
            raise Killed

    with pytest.raises(Killed):
        make_trainer(prepared, tmp_path / "cut", experiment, on_epoch=kill).run()
    epochs = []
    resumed = make_trainer(
        prepared, tmp_path / "cut", experiment, on_epoch=lambda report: epochs.append(report.epoch)
    ).run()
    assert epochs == list(range(killed_after + 1, 5))
    assert np.array_equal(resumed.scores.probabilities, whole.scores.probabilities)
    assert resumed.history == whole.history
    assert resumed.model == whole.model


def test_a_checkpoint_of_another_experiment_is_not_used(prepared, tmp_path):
    make_trainer(prepared, tmp_path).run()
    other = make_experiment(prepared, seed=1)
    epochs = []
    make_trainer(
        prepared, tmp_path, other, on_epoch=lambda report: epochs.append(report.epoch)
    ).run()
    assert epochs == [1, 2, 3, 4]


def test_a_damaged_checkpoint_starts_the_fold_again(prepared, tmp_path):
    whole = make_trainer(prepared, tmp_path / "whole").run()
    (tmp_path / "checkpoint.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{broken}")
    again = make_trainer(prepared, tmp_path).run()
    assert np.array_equal(again.scores.probabilities, whole.scores.probabilities)


def test_another_seed_gives_another_network(prepared, tmp_path):
    first = make_trainer(prepared, tmp_path / "a").run()
    other = make_trainer(prepared, tmp_path / "b", make_experiment(prepared, seed=1)).run()
    assert not np.array_equal(first.scores.probabilities, other.scores.probabilities)


def test_the_held_out_cases_are_never_gathered_before_training_ends(prepared, tmp_path):
    trainer = make_trainer(prepared, tmp_path)
    seen = set()
    gather = trainer.loader._gather

    def watch(cases):
        seen.update(map(int, cases))
        return gather(cases)

    trainer.loader._gather = watch
    during = []
    trainer.on_epoch = lambda report: during.append(set(seen))
    trainer.run()
    assert during[-1] == {*trainer.part.train, *trainer.part.validation}
    assert seen == during[-1] | set(trainer.part.test)


def test_a_loss_that_is_no_number_ends_the_fold_with_its_reason(prepared, tmp_path):
    experiment = make_experiment(prepared, overrides=("optimizer.lr=1e9", "training.clip_norm=0"))
    with pytest.raises(TrainingError, match=r"the loss became nan in epoch|not finite"):
        make_trainer(prepared, tmp_path, experiment).run()


def test_parameters_of_the_loss_are_trained(prepared, tmp_path):
    trainer = make_trainer(prepared, tmp_path, make_experiment(prepared, loss="focal+center"))
    before = [parameter.detach().clone() for parameter in trainer.criterion.parameters()]
    trainer.run()
    assert before
    for old, new in zip(before, trainer.criterion.parameters(), strict=True):
        assert not torch.equal(old, new)


@pytest.mark.parametrize(
    ("overrides", "epoch"),
    [
        (("selection.checkpoint=last",), 4),
        (("selection.checkpoint=training_loss",), None),
        (("selection.metric=auc",), None),
    ],
)
def test_the_checkpoint_is_the_one_the_recipe_asks_for(prepared, tmp_path, overrides, epoch):
    experiment = make_experiment(prepared, overrides=overrides)
    trained = make_trainer(prepared, tmp_path, experiment).run()
    history = trained.history
    if epoch is None and "training_loss" in overrides[0]:
        epoch = min(history, key=lambda row: row["train_loss"])["epoch"]
    elif epoch is None:
        best = max(history, key=lambda row: (row["validation_auc"], -row["validation_log_loss"]))
        epoch = best["epoch"]
    assert trained.selected_epoch == epoch


def test_the_validation_part_is_scored_with_the_weights_that_were_chosen(prepared, tmp_path):
    trainer = make_trainer(prepared, tmp_path)
    trained = trainer.run()
    assert trained.validation.cases.tolist() == list(trainer.part.validation)
    chosen = trained.history[trained.selected_epoch - 1]
    scores = trained.validation
    assert area_under_curve(scores.labels, scores.probabilities) == chosen["validation_auc"]


def test_training_ends_early_when_the_loss_falls_no_more(prepared, tmp_path):
    overrides = (
        "training.epochs=40",
        "schedule.name=plateau",
        "schedule.stop_patience=2",
        "optimizer.lr=1e-30",
    )
    trained = make_trainer(prepared, tmp_path, make_experiment(prepared, overrides=overrides)).run()
    losses = [row["train_loss"] for row in trained.history]
    best = losses.index(min(losses))
    assert len(losses) == best + 3 < 40
    assert losses[best] == min(losses[:-1])


def test_without_validation_every_other_case_is_trained_on(prepared, tmp_path):
    experiment = make_experiment(prepared, overrides=("selection.checkpoint=last",))
    trainer = make_trainer(prepared, tmp_path, experiment)
    assert len(trainer.part.train) + len(trainer.part.test) == 24


def test_slice_level_predicts_every_representative_slice(prepared, tmp_path):
    trained = make_trainer(prepared, tmp_path, make_experiment(prepared, aggregator=None)).run()
    assert set(trained.scores.slices.tolist()) == {1, 2}
    test = make_split(prepared.cases, 3, 0).part(0, validation_fraction=0.2, seed=0).test
    assert trained.scores.cases.tolist() == [index for index in test for _ in range(2)]


def test_bfloat16_gives_nearly_the_same_predictions(prepared, tmp_path):
    exact = make_trainer(prepared, tmp_path / "a")
    coarse = make_trainer(prepared, tmp_path / "b")
    coarse.compute = choose_compute("cpu", "bfloat16", jobs=1)
    exact_scores = exact._predict(exact.part.test, exact.views).probabilities
    coarse_scores = coarse._predict(coarse.part.test, coarse.views).probabilities
    assert not np.array_equal(exact_scores, coarse_scores)
    np.testing.assert_allclose(coarse_scores, exact_scores, atol=0.02)


def test_a_checkpoint_holds_no_pickle(prepared, tmp_path):
    make_trainer(prepared, tmp_path).run()
    content = (tmp_path / "checkpoint.safetensors").read_bytes()[DIGEST_BYTES:]
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert header["__metadata__"].keys() == {"progress"}


def combinations():
    """All of encoder, aggregator and loss; those beyond each pair of the first two are slow."""
    names = [name for name in encoders if name != "timm"]
    for row, encoder in enumerate(names):
        for column, aggregator in enumerate(aggregators):
            for place, loss in enumerate(losses):
                is_first = place == (row + column) % len(losses)
                marks = () if is_first else pytest.mark.slow
                yield pytest.param(encoder, aggregator, loss, marks=marks)


@pytest.mark.parametrize(("encoder", "aggregator", "loss"), list(combinations()))
def test_every_combination_trains_one_step(prepared, tmp_path, encoder, aggregator, loss):
    small = f"{encoder}(width=2)" if "width" in str(encoders[encoder].__doc__) else encoder
    experiment = make_experiment(prepared, encoder=small, aggregator=aggregator, loss=loss)
    trainer = make_trainer(prepared, tmp_path, experiment)
    before = [parameter.detach().clone() for parameter in trainer.model.parameters()]
    batch = next(trainer.batches.augmented(trainer.batches.draw(1)[:1], 1))
    trainer.model.train()
    assert trainer._step(batch).isfinite()
    changed = [
        not torch.equal(old, new)
        for old, new in zip(before, trainer.model.parameters(), strict=True)
    ]
    assert any(changed)


def test_a_pipeline_writes_a_checkpoint_no_more_often_than_asked(prepared, tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(fold_module, "write_checkpoint", lambda *args: written.append(args))
    trainer = make_trainer(prepared, tmp_path)
    trainer.checkpoint_seconds = 3600
    trainer.run()
    assert not written


def test_build_refuses_slice_level_for_an_encoder_with_fewer_tokens():
    from volbench.errors import SpecError
    from volbench.plugins.registry import encoders as registry

    def halving(in_channels):
        built = registry["r2d"](in_channels, width=2)
        built.slice_stride = 2
        return built

    with registry.adding(halving=halving), pytest.raises(SpecError, match="one token per 2 slices"):
        build_classifier(parse("halving"), None, in_channels=1, num_classes=2)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_gpu_learns_it_too(prepared, tmp_path, precision):
    experiment = make_experiment(prepared, overrides=("training.epochs=15", "optimizer.lr=3e-3"))
    part = make_split(prepared.cases, 3, 0).part(0, validation_fraction=0.2, seed=0)
    trained = FoldTrainer(
        experiment,
        prepared,
        part,
        0,
        choose_compute("cuda", precision, jobs=1),
        checkpoint=tmp_path / "checkpoint.safetensors",
        on_epoch=lambda report: None,
    ).run()
    assert area_under_curve(trained.scores.labels, trained.scores.probabilities) > 0.9
    assert trained.peak_memory_mb > 0


def test_a_profile_names_every_section_and_changes_no_number(prepared, tmp_path):
    plain = make_trainer(prepared, tmp_path).run()
    profiled = make_trainer(prepared, tmp_path / "profiled", profile=True).run()
    assert plain.timings is None
    np.testing.assert_array_equal(profiled.scores.probabilities, plain.scores.probabilities)
    timings = profiled.timings
    there = {name for name, seconds in timings.seconds.items() if seconds > 0}
    assert there == {*SECTIONS, OTHER} - {TRANSFORM, STEP}  # no TorchIO, and no CUDA graph
    assert sum(timings.seconds.values()) == pytest.approx(profiled.seconds, rel=0.2)
    assert timings.volumes == 4 * 16  # epochs, and batches of 8 that cover 13 cases
    assert 0 < timings.share_of_roofline < 1.5


RELOADING = (
    "optimizer.name=sgd",
    "optimizer.lr=3",  # too high, so that losses rise
    "schedule.name=plateau",
    "schedule.patience=0",
    "schedule.reload_best=true",
    "schedule.warmup_fraction=0",
    "selection.checkpoint=training_loss",
    "training.epochs=8",
    "training.clip_norm=0.0",
)


def weights_by_epoch(prepared, folder, overrides):
    """Weights and momentum before and after each epoch, and the training losses."""
    trainer = make_trainer(prepared, folder, make_experiment(prepared, overrides=overrides))
    before, after = [], []

    def copied():
        momentum = [state["momentum_buffer"].clone() for state in trainer.optimizer.state.values()]
        return [p.detach().clone() for p in trainer.model.parameters()], momentum

    inner = trainer._train_epoch

    def train_epoch(*args):
        before.append(copied())
        loss = inner(*args)
        after.append(copied())
        return loss

    trainer._train_epoch = train_epoch
    history = trainer.run().history
    return before, after, [row["train_loss"] for row in history]


def test_where_the_rate_falls_the_best_weights_and_their_momentum_come_back(prepared, tmp_path):
    before, after, losses = weights_by_epoch(prepared, tmp_path, RELOADING)
    best, reloaded = 0, 0
    for epoch in range(1, len(losses)):
        fell = losses[epoch - 1] > min(losses[: epoch - 1], default=np.inf) * (1 - 1e-4)
        best = int(np.argmin(losses[:epoch]))
        wanted = after[best] if fell else after[epoch - 1]
        for found, kept in zip(before[epoch], wanted, strict=True):
            assert all(map(torch.equal, found, kept)), epoch
        reloaded += fell and best != epoch - 1
    assert reloaded, "no loss rose, so nothing was tried"


def test_a_fold_that_goes_on_reloads_what_it_would_have(prepared, tmp_path):
    experiment = make_experiment(prepared, overrides=RELOADING)
    whole = make_trainer(prepared, tmp_path / "whole", experiment).run()

    def stop(report):
        if report.epoch == 4:
            raise Killed

    cut = make_trainer(prepared, tmp_path / "cut", experiment, on_epoch=stop)
    cut.checkpoint_seconds = 0
    with pytest.raises(Killed):
        cut.run()
    assert make_trainer(prepared, tmp_path / "cut", experiment).run().model == whole.model


def test_a_recipe_that_never_reloads_keeps_the_id_it_had(prepared):
    recipe = make_experiment(prepared).canonical()["recipe"]
    assert "reload_best" not in recipe["schedule"]
    assert load_recipe("lee2022_code").model_dump()["schedule"]["reload_best"] is True


def starts(prepared, folder, *overrides):
    """Weights that each of two folds starts from, and seeds of their first epoch."""
    experiment = make_experiment(prepared, overrides=overrides)
    trainers = [
        make_trainer(prepared, folder / str(fold), experiment, fold=fold) for fold in range(2)
    ]
    return [each.model.head.weight.detach().clone() for each in trainers], [
        each._seed("epoch", 1) for each in trainers
    ]


def test_folds_start_from_weights_of_their_own_unless_one_seed_is_asked_for(prepared, tmp_path):
    (first, second), (one, other) = starts(prepared, tmp_path)
    assert not torch.equal(first, second)
    assert one != other
    (first, second), (one, other) = starts(prepared, tmp_path, "training.one_seed=true")
    assert torch.equal(first, second)
    assert one == other
    recipe = make_experiment(prepared).canonical()["recipe"]
    assert "one_seed" not in recipe["training"]  # experiments without it keep their ids
    assert load_recipe("lee2022_code").training.one_seed


def test_a_slice_level_fold_weighs_classes_by_representative_slices(prepared, tmp_path):
    cases = tuple(
        replace(case, representative=(0, 1) if case.label else (0,)) for case in prepared.cases
    )
    experiment = make_experiment(
        prepared, aggregator=None, overrides=("training.sampler=weighted_slices",)
    )
    trainer = make_trainer(replace(prepared, cases=cases), tmp_path, experiment)
    drawn = np.concatenate([np.concatenate(trainer.batches.draw(epoch)) for epoch in range(300)])
    slices = np.array([len(cases[index].representative) for index in drawn])
    labels = np.array([cases[index].label for index in drawn])
    assert slices[labels == 1].sum() / slices.sum() == pytest.approx(0.5, abs=0.03)

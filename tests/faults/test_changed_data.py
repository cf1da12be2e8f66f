"""Data that were changed on disk are never taken for what they were."""

import json
import os
import random
import shutil
import sys

import numpy as np
import pytest
import torch

from tests.helpers.volumes_on_disk import image, voxels, write
from volbench.crossval import make_plan, run
from volbench.data.cache import open_prepared
from volbench.data.preparation.prepare_data import prepare
from volbench.errors import StateError, UsageError, VolbenchError
from volbench.runs.folder import RunFolder
from volbench.runs.load import load_run
from volbench.training.checkpoint import Best, Progress, read_checkpoint, write_checkpoint

TINY = {
    "encoder": "r2d(width=2)",
    "aggregator": "max",
    "loss": "focal",
    "folds": "2",
    "overrides": ("training.epochs=1", "preprocessing.size=16", "selection.checkpoint=last"),
}
FLIPS = int(os.environ.get("VOLBENCH_FLIPS", "60"))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A manifest of twelve volumes, and one finished run on them."""
    folder = tmp_path_factory.mktemp("world")
    noise = np.random.default_rng(0)
    for number in range(12):
        array = (voxels(kind="<f4") + noise.normal(size=voxels().shape) * 99).astype("<f4")
        write(folder / f"{number}.nii", image(array))
    lines = [f"{n}.nii,{'ab'[n % 2]},p{n}" for n in range(12)]
    (folder / "m.csv").write_text("\n".join(["image,label,patient", *lines, ""]))
    before = os.environ.get("VOLBENCH_CACHE")
    os.environ["VOLBENCH_CACHE"] = str(folder / "cache")
    plan = make_plan(**TINY, data=str(folder / "m.csv"))
    run(plan, out=folder, name="run", jobs=1)
    yield folder, plan
    os.environ.pop("VOLBENCH_CACHE")
    if before is not None:
        os.environ["VOLBENCH_CACHE"] = before


def flipped(content: bytes, draw: random.Random) -> bytes:
    """One bit turned."""
    changed = bytearray(content)
    place = draw.randrange(len(changed))
    changed[place] ^= 1 << draw.randrange(8)
    return bytes(changed)


def test_no_flipped_bit_of_a_prepared_folder_is_trained_on(world, tmp_path):
    _, plan = world
    options = plan.experiment.recipe.preprocessing
    folder = tmp_path / "prepared"
    shutil.copytree(plan.prepared.folder, folder)
    draw = random.Random(0)
    for name in ("voxels.f16", "index.json"):
        whole = (folder / name).read_bytes()
        for _ in range(FLIPS // 2):
            (folder / name).write_bytes(flipped(whole, draw))
            with pytest.raises(StateError, match=r"damaged|newer|prepared by"):
                prepare(str(folder), options)
        (folder / name).write_bytes(whole)
    assert prepare(str(folder), options).digest == plan.prepared.digest


def test_a_damaged_cache_of_our_own_is_made_again(world):
    folder, plan = world
    path = plan.prepared.folder / "voxels.f16"
    whole = path.read_bytes()
    middle = np.frombuffer(whole, "<f2").copy()
    middle[5000:9000] *= -1
    path.unlink()
    path.write_bytes(middle.tobytes())
    again = prepare(str(folder / "m.csv"), plan.prepared.preprocessing)
    assert (again.folder / "voxels.f16").read_bytes() == whole
    assert open_prepared(again.folder).voxels_digest == plan.prepared.voxels_digest


def test_no_flipped_bit_of_a_checkpoint_is_gone_on_with(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    torch.manual_seed(0)
    model = torch.nn.Linear(8, 4)
    optimizer = torch.optim.AdamW(model.parameters())
    write_checkpoint(path, Progress("x", epoch=3), {"model": model}, optimizer, Best())
    whole = path.read_bytes()
    draw = random.Random(1)
    assert read_checkpoint(path, "x", {"model": model}, optimizer)[0].epoch == 3
    for _ in range(FLIPS):
        path.write_bytes(flipped(whole, draw))
        assert read_checkpoint(path, "x", {"model": model}, optimizer)[0].epoch == 0
    path.write_bytes(whole[:-1])
    assert read_checkpoint(path, "x", {"model": model}, optimizer)[0].epoch == 0


@pytest.mark.parametrize(
    "name",
    [
        "experiment.json",
        "data.json",
        "environment.json",
        "splits.csv",
        "cases.csv",
        "digests.json",
        "folds/00/result.json",
        "folds/00/predictions.csv",
        "folds/00/history.csv",
        "folds/00/model.safetensors",
    ],
)
def test_no_flipped_bit_of_a_run_changes_what_is_read(name, world, tmp_path):
    folder, _ = world
    path = tmp_path / "run"
    shutil.copytree(folder / "run", path)
    right = everything(path)
    whole = (path / name).read_bytes()
    draw = random.Random(name)
    for _ in range(max(5, FLIPS // 10)):
        (path / name).write_bytes(flipped(whole, draw))
        try:
            found = everything(path)
        except VolbenchError:
            continue
        assert found == right
    (path / name).unlink()
    if name.endswith("result.json"):  # the fold has not ended, and is trained again
        assert list(load_run(path).results) == [1]
        return
    with pytest.raises(VolbenchError):
        everything(path)


def everything(path):
    """All that decides a number that is told of a run."""
    loaded = load_run(path)
    folder = RunFolder(path)
    for number, result in loaded.results.items():
        folder.fold(number).verify(result)
    places = (loaded.cases, loaded.patients, loaded.case_rows, loaded.classes)
    return (
        loaded.experiment,
        folder.data(),
        loaded.environment,
        loaded.results,
        loaded.predictions,
        places,
    )


def without_digest(run, name):
    """Take a file out of those that digests.json vouches for."""
    digests = json.loads((run / "digests.json").read_text())
    digests["sha256"].pop(name)
    (run / "digests.json").write_text(json.dumps(digests))


@pytest.mark.parametrize("by_id", [False, True], ids=["by its digest", "by its id"])
@pytest.mark.parametrize(
    ("key", "value"), [("folds", 1), ("encoder", "rmc5"), ("seed", 7), ("data_digest", "0" * 64)]
)
def test_an_experiment_that_was_edited_is_refused(key, value, by_id, world, tmp_path):
    folder, _ = world
    shutil.copytree(folder / "run", tmp_path / "run")
    if by_id:
        without_digest(tmp_path / "run", "experiment.json")  # as in November 2026, before the 27th
        load_run(tmp_path / "run")
    path = tmp_path / "run" / "experiment.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(StateError, match=r"experiment\.json was changed after the run wrote it"):
        load_run(tmp_path / "run")


def test_a_run_that_lost_the_word_sealed_is_held_to_its_digests(world, tmp_path):
    folder, plan = world
    path = tmp_path / "run"
    shutil.copytree(folder / "run", path)
    without_digest(path, "experiment.json")  # as in November 2026, before the 27th
    assert everything(path) == everything(folder / "run")
    asked = json.loads((path / "experiment.json").read_text())
    asked.pop("sealed")
    (path / "experiment.json").write_text(json.dumps(asked))
    assert not run(plan, out=tmp_path, name="run", jobs=1).failed
    cases = path / "cases.csv"
    cases.write_bytes(cases.read_bytes().replace(b"p3", b"p5"))
    with pytest.raises(StateError, match=r"cases\.csv was changed"):
        load_run(path)
    with pytest.raises(StateError, match=r"cases\.csv was changed"):
        run(plan, out=tmp_path, name="run", jobs=1)


def test_a_result_that_lost_the_digest_of_its_predictions_is_refused(world, tmp_path):
    folder, _ = world
    shutil.copytree(folder / "run", tmp_path / "run")
    path = tmp_path / "run" / "folds" / "00" / "result.json"
    values = json.loads(path.read_text())
    for change in (lambda: values["sha256"].pop("predictions.csv"), lambda: values.pop("digest")):
        change()
        path.write_text(json.dumps(values))
        with pytest.raises(StateError, match=r"result\.json was changed .* or lost its digest"):
            load_run(tmp_path / "run")


def test_half_of_the_split_is_not_the_split(world, tmp_path):
    folder, plan = world
    shutil.copytree(folder / "run", tmp_path / "run")
    path = tmp_path / "run" / "splits.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:7]))
    with pytest.raises(StateError, match=r"splits\.csv was changed"):
        load_run(tmp_path / "run")
    with pytest.raises(StateError, match=r"splits\.csv was changed"):
        run(plan, out=tmp_path, name="run", jobs=1)


def test_a_damaged_audit_is_made_again(world, tmp_path):
    folder, plan = world
    shutil.copytree(folder / "run", tmp_path / "run")
    path = tmp_path / "run" / "audit.csv"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    run(plan, out=tmp_path, name="run", jobs=1)
    assert path.read_bytes() == whole


def test_a_run_that_ended_before_its_first_record_is_continued(world, tmp_path):
    folder, plan = world
    for name in ("splits.csv", "data.json", "digests.json"):
        (tmp_path / "run").mkdir(exist_ok=True)
        shutil.copy(folder / "run" / name, tmp_path / "run" / name)
    (tmp_path / "run" / ".cases.csv.99.tmp").write_text("half a fi")
    assert not run(plan, out=tmp_path, name="run", jobs=1).failed


@pytest.mark.parametrize("end", [lambda: sys.exit(0), lambda: os._exit(0)])
def test_a_component_that_ends_the_process_fails_its_fold(end, world, tmp_path, monkeypatch):
    _, plan = world
    from volbench.training.fold import FoldTrainer

    monkeypatch.setattr(FoldTrainer, "run", lambda self: end())
    outcome = run(plan, out=tmp_path, name="run", jobs=1)
    assert len(outcome.failed) == 2
    assert "ended the process (exit code 0)" in outcome.failed[0].error


def test_a_batch_without_pairs_is_refused_for_a_loss_that_needs_them(world):
    folder, _ = world
    options = {**TINY, "overrides": (*TINY["overrides"], "training.batch_size=3")}
    data = str(folder / "m.csv")
    make_plan(**options, data=data)
    with pytest.raises(UsageError, match=r"two cases of each of 2 classes.*batch_size=4 or more"):
        make_plan(**{**options, "loss": "focal+triplet"}, data=data)

"""Which stored tokens a run is trained on: kept, vouched for, never taken from a changed file."""

import json
import random
import shutil

import numpy as np
import pytest

from tests.faults.tiny_run import TINY
from tests.helpers.small import write_small
from tests.suite.test_suite_on_executors import Elsewhere
from volbench.crossval import make_plan, run
from volbench.data.cache.features import FEATURES, feature_key, open_features, write_features
from volbench.errors import StateError
from volbench.runs.features_used import (
    FEATURES_USED,
    read_features_used,
    record_features_used,
    seal_features_used,
)
from volbench.runs.load import load_run
from volbench.runs.sealing import DIGESTS, seal, vouched

FACTS = {"key": "3f" * 16, "tokens": 47, "features": 512, "seconds": 1.25}
FLIPS = 400


def run_folder(path):
    path.mkdir()
    (path / "experiment.json").write_text('{"schema": 1, "sealed": true}')
    seal(path, {})
    return path


def flipped(content, draw):
    changed = bytearray(content)
    changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


@pytest.mark.parametrize("sealed", [False, True])
def test_no_flipped_bit_of_it_changes_what_is_read(sealed, tmp_path):
    folder = run_folder(tmp_path / "run")
    assert record_features_used(folder, FACTS) is None
    if sealed:
        seal_features_used(folder)
    path = folder / FEATURES_USED
    whole, draw, counts = path.read_bytes(), random.Random(0), {"refused": 0, "ignored": 0}
    for _ in range(FLIPS):
        path.write_bytes(flipped(whole, draw))
        try:
            found = read_features_used(folder)
        except StateError:
            counts["refused"] += 1
            continue
        assert not sealed
        assert found in (None, FACTS)  # of a digest that lost its name nothing is believed
        counts["ignored"] += found is None
    assert counts["refused"] > 0.8 * FLIPS
    assert (counts["ignored"] == 0) == sealed


def test_where_nothing_vouches_for_it_it_is_written_again(tmp_path):
    folder = run_folder(tmp_path / "run")
    (folder / FEATURES_USED).write_text(json.dumps({**FACTS, "tokens": 1}))  # as November wrote it
    assert read_features_used(folder) is None
    assert record_features_used(folder, FACTS) is None
    assert read_features_used(folder) == FACTS


def test_an_older_file_that_only_the_runs_digests_vouch_for_is_read(tmp_path):
    folder = run_folder(tmp_path / "run")
    text = json.dumps(FACTS)
    (folder / FEATURES_USED).write_text(text)
    seal(folder, {FEATURES_USED: text.encode()})
    assert record_features_used(folder, FACTS) is None
    assert read_features_used(folder) == FACTS
    (folder / FEATURES_USED).write_text(text.replace("47", "48"))
    with pytest.raises(StateError, match=r"features\.json was changed"):
        record_features_used(folder, FACTS)


def test_what_a_run_of_version_0_1_kept_is_read_as_it_is(tmp_path):
    (tmp_path / "experiment.json").write_text('{"schema": 1}')
    (tmp_path / FEATURES_USED).write_text(json.dumps(FACTS))
    assert read_features_used(tmp_path) == FACTS


def test_a_changed_file_is_never_sealed(tmp_path):
    folder = run_folder(tmp_path / "run")
    record_features_used(folder, FACTS)
    path = folder / FEATURES_USED
    path.write_text(path.read_text().replace("47", "48"))
    with pytest.raises(StateError, match=r"features\.json was changed"):
        seal_features_used(folder)
    assert vouched(folder) == frozenset()


def test_other_tokens_for_the_folds_that_are_left_are_said(tmp_path):
    folder = run_folder(tmp_path / "run")
    record_features_used(folder, FACTS)
    assert record_features_used(folder, {**FACTS, "seconds": 99.0}) is None
    note = record_features_used(folder, {**FACTS, "key": "00" * 16})
    assert note is not None
    assert "names other stored tokens" in note
    assert read_features_used(folder) == FACTS


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    """A small data set, and a folder of tokens of it."""
    prepared = write_small(tmp_path_factory.mktemp("small") / "data", cases=4)
    lengths = np.diff(prepared.offsets)
    draw = np.random.default_rng(0)
    rows = [draw.normal(size=(length, 3)).astype(np.float32) for length in lengths]
    identity = {"encoder": "x", "data": prepared.digest}
    folder = tmp_path_factory.mktemp("features") / feature_key(identity)
    write_features(folder, identity, rows, seconds=[1.5])
    return prepared, folder


def test_no_flipped_bit_of_stored_tokens_changes_what_is_trained_on(tokens, tmp_path):
    prepared, original = tokens
    right = open_features(original, prepared)
    values = np.array(right.tokens)
    folder = tmp_path / original.name
    shutil.copytree(original, folder)
    draw, refused = random.Random(1), 0
    for name in (FEATURES, "index.json"):
        whole = (original / name).read_bytes()
        for _ in range(FLIPS):
            (folder / name).write_bytes(flipped(whole, draw))
            try:
                found = open_features(folder, prepared)
            except StateError:
                refused += 1
                continue
            assert name == "index.json"  # white space
            np.testing.assert_array_equal(found.tokens, values)
            assert found.facts == right.facts
        (folder / name).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(StateError):
            open_features(folder, prepared)
        (folder / name).write_bytes(whole)
    assert refused > 1.5 * FLIPS


def test_tokens_in_the_folder_of_others_are_refused(tokens, tmp_path):
    prepared, original = tokens
    shutil.copytree(original, tmp_path / ("0" * 32))
    with pytest.raises(StateError, match="those of another encoder, or of other data"):
        open_features(tmp_path / ("0" * 32), prepared)


def test_a_file_that_another_machine_wrote_is_sealed_when_the_run_is_closed(tmp_path, monkeypatch):
    monkeypatch.setenv("VOLBENCH_CACHE", str(tmp_path / "cache"))
    import timm
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    weights = tmp_path / "w.safetensors"
    save_file(timm.create_model("test_resnet").state_dict(), weights)
    plan = make_plan(
        **{
            **TINY,
            "encoder": f"timm(name='test_resnet', weights={str(weights)!r}, freeze=true)",
            "overrides": (*TINY["overrides"], "training.augmentation=none"),
        },
        data="phantom(patients=8, size=24, slices=(2, 3))",
    )
    outcome = run(plan, out=tmp_path, name="run", device="cpu", executor=Elsewhere())
    assert not outcome.failed
    assert FEATURES_USED in json.loads((outcome.path / DIGESTS).read_text())["sha256"]
    assert load_run(outcome.path).features["tokens"] == plan.prepared.offsets[-1]
    path = outcome.path / FEATURES_USED
    path.write_text(path.read_text().replace('"seconds": ', '"seconds": 1'))
    with pytest.raises(StateError, match=r"features\.json was changed"):
        load_run(outcome.path)
    with pytest.raises(StateError, match=r"features\.json was changed"):
        run(plan, out=tmp_path, name="run", device="cpu")

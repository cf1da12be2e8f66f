"""Runs of frozen encoders: tokens that were stored, or computed anew in every epoch."""

from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

from volbench.cli.main import main
from volbench.crossval import features
from volbench.crossval.plan import Plan, make_plan
from volbench.crossval.run_cross_validation import Callback, run
from volbench.data.cache.features import FEATURES, open_features
from volbench.encoders.building import build_encoder
from volbench.errors import StateError
from volbench.executors.lease import Lease, acquire_when_free, current_attempt
from volbench.predict.trained_run import load_trained
from volbench.runs.attempts import ATTEMPTS
from volbench.runs.load import load_run
from volbench.training.device_and_precision import Compute

DATA = "phantom(patients=16, size=24, slices=(2, 5))"
Planner = Callable[..., Plan]


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(3)
    save_file(timm.create_model("test_resnet").state_dict(), tmp_path / "w.safetensors")
    return tmp_path / "w.safetensors"


@pytest.fixture
def planned(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Planner:
    monkeypatch.setenv("VOLBENCH_CACHE", str(tmp_path / "cache"))

    def plan(*overrides: str, freeze: str = "true", **options: str) -> Plan:
        settings = {"data": DATA, "folds": "2", "aggregator": "gated_attention", **options}
        return make_plan(
            encoder=f"timm(name='test_resnet', weights={str(weights)!r}, freeze={freeze})",
            loss="focal",
            overrides=("training.epochs=3", "training.augmentation=none", *overrides),
            precision="float32",
            **settings,
        )

    return plan


def _files(path: Path, name: str) -> list[bytes]:
    return [file.read_bytes() for file in sorted(path.glob(f"folds/*/{name}"))]


def _both(plan: Plan, out: Path) -> tuple[Path, Path]:
    stored = run(plan, out=out, name="stored", device="cpu", jobs=1)
    anew = run(plan, out=out, name="anew", device="cpu", jobs=1, features="off")
    assert not stored.failed + anew.failed
    assert (stored.path / "features.json").is_file()
    assert not (anew.path / "features.json").exists()
    return stored.path, anew.path


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        (
            "regularization.mixup=0.4",
            "regularization.mixup_on=token",
            "regularization.slice_dropout=0.3",
            "regularization.token_noise=0.1",
            "regularization.ema=0.5",
        ),
        ("tta.passes=2", "tta.augmentation=flip"),
    ],
    ids=["plain", "token regularisers", "views at test time"],
)
def test_stored_tokens_give_the_same_predictions_to_the_last_bit(
    overrides: tuple[str, ...], planned: Planner, tmp_path: Path
) -> None:
    stored, anew = _both(planned(*overrides), tmp_path)
    for name in ("predictions.csv", "validation.csv", "history.csv"):
        assert _files(stored, name) == _files(anew, name) != []
    for first, second in zip(
        sorted(stored.glob("folds/*/model.safetensors")),
        sorted(anew.glob("folds/*/model.safetensors")),
        strict=True,
    ):
        ours, theirs = load_file(first), load_file(second)
        assert ours.keys() == theirs.keys()
        assert not [name for name in ours if not torch.equal(ours[name], theirs[name])]


def test_a_run_on_stored_tokens_can_be_opened_and_counts_what_storing_took(
    planned: Planner, weights: Path, tmp_path: Path
) -> None:
    outcome = run(planned(), out=tmp_path, device="cpu", jobs=1)
    network = load_trained(outcome.path).networks[0]
    saved = load_file(weights)["conv1.0.weight"]
    assert torch.equal(network.encoder.state_dict()["backbone.conv1.0.weight"], saved)
    again = run(planned(), out=tmp_path, name="b", device="cpu", jobs=1)
    for folder in (outcome.path, again.path):  # found, not computed: the same share for both
        seconds = [result.seconds for result in load_run(folder).results.values()]
        assert all(seconds)


class _Heard(Callback):
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.cases = 0

    def on_warning(self, text: str) -> None:
        self.lines.append(text)

    def on_features(self, done: int, total: int) -> None:
        self.cases = done


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("training.augmentation=flip", "training.augmentation=flip changes the images"),
        ("regularization.mixup=0.2", "regularization.mixup_on=volume mixes images"),
    ],
)
def test_what_needs_images_is_named(
    override: str, reason: str, planned: Planner, tmp_path: Path
) -> None:
    heard = _Heard()
    run(planned(override), out=tmp_path, device="cpu", jobs=1, folds=[0], callback=heard)
    assert any(reason in line for line in heard.lines)
    assert heard.cases == 0


def _store(weights: Path, root: Path, on_case: Callable[[int, int], None]) -> Path:
    prepared = make_plan(
        encoder="r2d(width=2)", aggregator="max", loss="focal", data=DATA, folds="2"
    ).prepared
    spec = f"timm(name='test_resnet', weights={str(weights)!r})"
    compute = Compute("cpu", "float32", 1)
    return features.store_features(spec, prepared, compute, root=root, on_case=on_case).folder


def test_what_another_process_stored_while_this_one_waited_is_not_computed_again(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def wait(attempts: Path) -> Lease:
        monkeypatch.setattr(features, "acquire_when_free", acquire_when_free)
        _store(weights, tmp_path, lambda done, total: calls.append("there"))
        return acquire_when_free(attempts)

    monkeypatch.setattr(features, "acquire_when_free", wait)
    _store(weights, tmp_path, lambda done, total: calls.append("here"))
    assert calls == ["there"] * 16


def test_nobody_waits_for_a_process_that_has_stored_its_tokens_or_failed(
    weights: Path, tmp_path: Path
) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    def outcome() -> str:
        (attempts,) = (tmp_path / "features" / ATTEMPTS).iterdir()
        attempt = current_attempt(attempts)
        assert attempt is not None
        assert attempt.state == "ended"
        return attempt.outcome

    with pytest.raises(KeyboardInterrupt):
        _store(weights, tmp_path, interrupt)
    assert outcome() == "interrupted"
    _store(weights, tmp_path, lambda done, total: None)
    assert outcome() == "stored"


def test_an_encoder_that_is_trained_is_not_stored(planned: Planner, tmp_path: Path) -> None:
    heard = _Heard()
    run(planned(freeze="'stem'"), out=tmp_path, device="cpu", jobs=1, folds=[0], callback=heard)
    assert heard.cases == 0
    assert not any("encodes every slice anew" in line for line in heard.lines)


def test_tokens_that_were_changed_are_refused_and_made_again(
    planned: Planner, tmp_path: Path
) -> None:
    plan, heard = planned(), _Heard()
    run(plan, out=tmp_path, device="cpu", jobs=1, folds=[0], callback=heard)
    assert heard.cases == 16
    (file,) = (tmp_path / "cache" / "features").glob(f"*/{FEATURES}")
    damaged = bytearray(file.read_bytes())
    damaged[100] ^= 1
    file.write_bytes(damaged)
    with pytest.raises(StateError, match="have changed; delete the folder"):
        open_features(file.parent, plan.prepared)
    heard.cases = 0
    run(plan, out=tmp_path, device="cpu", jobs=1, folds=[1], callback=heard)
    assert heard.cases == 16
    open_features(file.parent, plan.prepared)


def test_the_command_stores_what_a_run_then_finds(
    planned: Planner, weights: Path, tmp_path: Path
) -> None:
    text = f"timm(name='test_resnet', weights={str(weights)!r})"
    asked = ["features", DATA, "--encoder", text, "--device", "cpu", "--precision", "float32"]
    done = CliRunner().invoke(main, asked)
    assert done.exit_code == 0, done.output
    assert "features, float32" in done.output
    heard = _Heard()
    run(planned(), out=tmp_path, device="cpu", jobs=1, folds=[0], callback=heard)
    assert heard.cases == 0
    random = CliRunner().invoke(main, [*asked[:3], "r2d(width=2)"])
    assert random.exit_code == 4
    assert "its weights are drawn at random; give weights=" in random.output


def test_a_token_does_not_depend_on_its_batch(weights: Path) -> None:
    from volbench.training.frozen import encode_each

    text = f"timm(name='test_resnet', weights={str(weights)!r}, freeze=true)"
    encoder = build_encoder(text, 1)
    volume = torch.randn(3, 1, 5, 24, 24)
    mask = torch.arange(5) < torch.tensor([[5], [2], [4]])
    together = encode_each(encoder, volume, mask)
    for case, length in enumerate((5, 2, 4)):
        alone = encode_each(encoder, volume[case : case + 1, :, :length], None)
        assert torch.equal(together[case, :length], alone[0])
        assert not together[case, length:].any()


def test_an_executors_task_stores_the_same_tokens_as_this_process(
    planned: Planner, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(weights.parent)
    asked = ["features", DATA, "--encoder", f"timm(name='test_resnet', weights={weights.name!r})"]
    asked += ["--device", "cpu", "--precision", "float32", "--format", "json"]
    planned_only = CliRunner().invoke(main, [*asked, "--on", "local(jobs=2)", "--dry-run"])
    assert planned_only.exit_code == 0, planned_only.output
    assert "1 tasks here" in planned_only.stdout
    assert not (tmp_path / "cache" / "features").exists()
    there = CliRunner().invoke(main, [*asked, "--on", "local(jobs=2)"])
    assert there.exit_code == 0, there.output
    assert "encoding: 16/16 cases" in there.stderr
    here = CliRunner().invoke(main, asked)
    assert "encoding" not in here.stderr, "found, as the task stored it under the same digests"
    assert here.stdout == there.stdout


def test_what_a_task_that_stores_tokens_refuses_is_one_line_with_its_exit_code(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOLBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("volbench.crossval.fold_task.is_prepared", lambda folder: False)
    asked = ["features", DATA, "--encoder", f"timm(name='test_resnet', weights={str(weights)!r})"]
    done = CliRunner().invoke(main, [*asked, "--on", "local(jobs=1)", "--device", "cpu"])
    assert done.exit_code == 5
    assert "cannot see the prepared data" in done.stderr
    assert "which VOLBENCH_CACHE names" in done.stderr.splitlines()[-1]

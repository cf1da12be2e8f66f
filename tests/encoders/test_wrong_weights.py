"""Files of weights, sound and wrong, given to a built-in encoder and to one of somebody else."""

import io
import pickle
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file
from torch import Tensor, nn

from volbench.cli.main import main
from volbench.encoders.building import build_encoder
from volbench.encoders.weights import read_weights
from volbench.errors import SpecError
from volbench.interfaces import Encoder
from volbench.plugins.registry import encoders

SPECS = ("r2d(width=2)", "strangers(features=3)")


class Strangers(Encoder):
    """An encoder of another distribution, which knows nothing of weights, freezing or LoRA."""

    def __init__(self, in_channels: int, *, features: int = 3) -> None:
        super().__init__()
        self.num_features = features
        self.first = nn.Conv3d(in_channels, 4, (1, 3, 3))
        self.norm = nn.BatchNorm3d(4)
        self.last = nn.Linear(4, features)

    def forward(self, volume: Tensor, mask: Tensor | None = None) -> Tensor:
        maps = self.norm(self.first(volume)).mean(dim=(3, 4))
        return self.last(maps.transpose(1, 2))


@pytest.fixture(autouse=True)
def _strangers() -> Iterator[None]:
    with encoders.adding(strangers=Strangers):
        yield


def _with(spec: str, path: Path, more: str = "") -> str:
    return f"{spec[:-1]}, weights={str(path)!r}{more})"


def _state(spec: str) -> dict[str, Tensor]:
    torch.manual_seed(11)
    return dict(build_encoder(spec, 1).state_dict())


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("kind", ["bare", "ddp", "checkpoint", "float16", "head", "volbench"])
def test_sound_weights_are_loaded(kind: str, spec: str, tmp_path: Path) -> None:
    state = _state(spec)
    saved = dict(state)
    if kind == "float16":
        saved = {name: t.half() if t.is_floating_point() else t for name, t in state.items()}
    if kind == "head":
        saved |= {"fc.weight": torch.ones(2, 3), "fc.bias": torch.ones(2)}
    prefix = {"ddp": "module.", "checkpoint": "model.", "volbench": "encoder."}.get(kind, "")
    content = {prefix + name: tensor for name, tensor in saved.items()}
    torch.save({"state_dict": content, "epoch": 1} if kind == "checkpoint" else content,
               tmp_path / "w.pth")  # fmt: skip
    torch.manual_seed(12)
    encoder = build_encoder(_with(spec, tmp_path / "w.pth"), 1)
    assert {parameter.dtype for parameter in encoder.parameters()} == {torch.float32}
    for name, tensor in encoder.state_dict().items():
        torch.testing.assert_close(tensor, saved[name].to(tensor.dtype))


class _Bomb:
    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path("exploded"),)


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("other architecture", "Give the architecture that they were trained with"),
        ("other shape", "of another shape"),
        ("truncated.pth", "copy it again"),
        ("truncated.safetensors", "copy it again"),
        ("bomb", "would run code from it"),
        ("empty", "copy it again"),
        ("missing", "No such file"),
    ],
)
def test_wrong_weights_are_refused_in_one_line(
    kind: str, message: str, spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / ("w.safetensors" if kind.endswith("safetensors") else "w.pth")
    state = _state(spec)
    if kind == "other architecture":
        torch.save({"layers.0.kernel": torch.ones(3)}, path)
    elif kind == "other shape":
        torch.save({name: torch.ones(*t.shape, 2) for name, t in state.items()}, path)
    elif kind == "bomb":
        path.write_bytes(pickle.dumps(_Bomb()))
    elif kind != "missing":
        save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)
        size = 0 if kind == "empty" else path.stat().st_size // 2
        path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(SpecError, match=message) as error:
        build_encoder(_with(spec, path), 1)
    assert "\n" not in str(error.value)
    assert not Path("exploded").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"\x17\x03" * 50,
            r"is no checkpoint of torch.save, .* begins with b'\\x17\\x03\\x17\\x03'",
        ),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer, not the weights"),
        (b"\x80" + bytes(range(60, 200)), "is damaged or no checkpoint .*; copy it again"),
        (b"\x80\x02" + bytes(range(99, 20, -1)), "is damaged or no checkpoint .*; copy it again"),
        (b"\x80\x02ctorch._utils\n_rebuild_ten", "is damaged or no checkpoint .*; copy it again"),
        (b"\n<!DOCTYPE html>", "is a web page, not weights; download the file itself"),
        (b"PK\x03\x04" + b"\x17" * 99, "is damaged or no checkpoint"),
    ],
    ids=["random", "pointer", "protocol 60", "protocol 2", "cut in a name", "page", "archive"],
)
def test_a_file_that_is_something_else_is_told_so(
    content: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(SpecError, match=message) as error:
        read_weights(str(tmp_path / "w.pth"))
    assert "w.pth" in str(error.value)
    assert "\n" not in str(error.value)
    assert "would run code" not in str(error.value)


def test_a_pickle_of_old_is_read_or_damaged_wherever_it_is_cut(tmp_path: Path) -> None:
    whole = io.BytesIO()
    torch.save({"a": torch.arange(3.0)}, whole, _use_new_zipfile_serialization=False)
    path = tmp_path / "w.pth"
    path.write_bytes(whole.getvalue())
    assert read_weights(str(path))["a"].tolist() == [0, 1, 2]
    for size in range(1, len(whole.getvalue()), 3):
        path.write_bytes(whole.getvalue()[:size])
        with pytest.raises(SpecError, match=r"is damaged or no checkpoint .*; copy it again"):
            read_weights(str(path))


def test_random_bytes_after_the_mark_of_a_pickle_are_no_checkpoint(tmp_path: Path) -> None:
    draw = random.Random(0)
    for mark in (b"\x80", b"\x80\x02", b"\x80\x04\x95", b"PK\x03\x04"):
        for _ in range(60):
            (tmp_path / "w.pth").write_bytes(mark + draw.randbytes(80))
            with pytest.raises(SpecError, match=r"w\.pth': the file is damaged or no ") as error:
                read_weights(str(tmp_path / "w.pth"))
            assert "\n" not in str(error.value)


def test_a_run_ends_with_one_line_and_exit_code_4(tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(b"")
    encoder = _with("r2d(width=2)", tmp_path / "w.pth")
    command = ["run", "--encoder", encoder, "--agg", "max", "--loss", "focal", "--dry-run"]
    outcome = CliRunner().invoke(main, command)
    assert outcome.exit_code == 4
    (line,) = outcome.stderr.splitlines()
    assert line.startswith("volbench: ")
    assert line.endswith("copy it again")


def test_an_encoder_of_somebody_else_is_frozen_and_adapted_as_well(tmp_path: Path) -> None:
    torch.save(_state("strangers(features=3)"), tmp_path / "w.pth")
    frozen = build_encoder(_with("strangers(features=3)", tmp_path / "w.pth", ", freeze=true"), 1)
    assert not any(parameter.requires_grad for parameter in frozen.parameters())
    assert not frozen.train().norm.training
    text = _with("strangers(features=3)", tmp_path / "w.pth", ", adapt=lora(rank=1)")
    adapted = build_encoder(text, 1)
    trained = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    assert trained == 4 + 3  # of its one linear layer

import pickle
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from tests.encoders.lite0 import NAME, lite0_weights
from volbench.encoders.building import build_encoder, locate_weights, pin_weights
from volbench.encoders.packed_slices import plan_packing
from volbench.encoders.resnet import ResNet
from volbench.errors import SpecError
from volbench.spec import parse

MODEL = "test_resnet"


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(5)
    return dict(timm.create_model(MODEL).state_dict())


def _encoder(path: Path, options: str = "") -> nn.Module:
    return build_encoder(f"timm(name={MODEL!r}, weights={str(path)!r}{options})", 1)


def _seen(encoder: nn.Module, volume: torch.Tensor) -> torch.Tensor:
    packing = plan_packing(volume, None)
    seen: torch.Tensor = encoder.inputs(packing.pack(volume), packing)
    return seen


def _same(encoder: nn.Module, state: dict[str, torch.Tensor]) -> None:
    own = encoder.state_dict()
    assert own
    for name, tensor in own.items():
        torch.testing.assert_close(tensor, state[name.removeprefix("backbone.")].to(tensor.dtype))


@pytest.mark.parametrize(
    "kind", ["safetensors", "pth", "ddp", "checkpoint", "compiled", "teacher", "volbench"]
)
def test_weights_are_found_whatever_they_are_wrapped_in(
    kind: str, state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    path = tmp_path / ("w.safetensors" if kind in ("safetensors", "volbench") else "w.pth")
    prefix = {
        "ddp": "module.", "compiled": "_orig_mod.", "volbench": "encoder.backbone.",
    }.get(kind, "")  # fmt: skip
    named = {prefix + name: tensor for name, tensor in state.items()}
    if path.suffix == ".safetensors":
        save_file(named, path)
    elif kind == "checkpoint":
        torch.save({"epoch": 3, "state_dict": named, "optimizer": {"lr": 0.1}}, path)
    elif kind == "teacher":
        student = {f"student.backbone.{name}": 0 * tensor for name, tensor in state.items()}
        teacher = {f"teacher.backbone.{name}": tensor for name, tensor in state.items()}
        torch.save({**student, **teacher}, path)
    else:
        torch.save(named, path)
    _same(_encoder(path), state)


def test_half_precision_is_loaded_as_float32(
    state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    half = {n: t.half() if t.is_floating_point() else t for n, t in state.items()}
    save_file(half, tmp_path / "w.safetensors")
    encoder = _encoder(tmp_path / "w.safetensors")
    assert {p.dtype for p in encoder.parameters()} == {torch.float32}
    _same(encoder, half)


class _Bomb:
    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path("exploded"),)


def test_a_pickle_bomb_is_refused_in_one_line_and_does_not_go_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": _Bomb()}, "bomb.pth")
    Path("plain.pth").write_bytes(pickle.dumps(_Bomb()))
    for name in ("bomb.pth", "plain.pth"):
        with pytest.raises(SpecError, match="would run code from it; save its state dict") as error:
            _encoder(Path(name))
        assert "\n" not in str(error.value)
    assert not Path("exploded").exists()


def test_what_does_not_fit_is_refused_and_named(
    state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    path = tmp_path / "w.safetensors"
    other = {"conv1.0.weight": torch.zeros(5, 3, 3, 3), "neck.weight": torch.ones(1)}
    save_file({**state, **other}, path)
    wanted = r"1 of another shape \(conv1\.0\.weight is 5×3×3×3 where"
    with pytest.raises(SpecError, match=wanted) as error:
        _encoder(path)
    assert "1 unknown (neck.weight)" in str(error.value)
    del state["conv1.0.weight"]
    save_file(state, path)
    with pytest.raises(SpecError, match=r"1 missing \(conv1.0.weight\)"):
        _encoder(path)
    save_file(timm.create_model("test_vit").state_dict(), path)
    with pytest.raises(SpecError, match="Give the architecture that they were trained with"):
        _encoder(path)


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_a_truncated_or_missing_file_is_one_line(
    suffix: str, state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    path = tmp_path / f"w.{suffix}"
    with pytest.raises(SpecError, match="cannot be read: No such file"):
        _encoder(path)
    if suffix == "pth":
        torch.save(state, path)
    else:
        save_file(state, path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(SpecError, match="copy it again") as error:
        _encoder(path)
    assert "\n" not in str(error.value)


def test_weights_that_are_no_numbers_are_refused(
    state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    state["conv1.0.weight"] = torch.full_like(state["conv1.0.weight"], torch.nan)
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(SpecError, match=r"holds NaN or infinity in conv1\.0\.weight"):
        _encoder(tmp_path / "w.safetensors")


def test_position_embeddings_are_interpolated_to_the_image_size(tmp_path: Path) -> None:
    state = timm.create_model("test_vit").state_dict()
    save_file(state, tmp_path / "w.safetensors")
    text = f"timm(name='test_vit', weights={str(tmp_path / 'w.safetensors')!r}, image_size=64)"
    encoder = build_encoder(text, 1)
    assert encoder.backbone.pos_embed.shape[1] == 17 != state["pos_embed"].shape[1]


def test_a_folder_of_timm_is_read_with_its_config(
    state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    save_file(state, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(
        '{"architecture": "test_resnet", "pretrained_cfg": '
        '{"mean": [0.1, 0.2, 0.3], "std": [0.229, 0.224, 0.225]}}'
    )
    encoder = build_encoder(f"timm(name='local-dir:{tmp_path}', normalize='unit')", 1)
    _same(encoder, state)
    zero = _seen(encoder, torch.zeros(1, 1, 1, 2, 2))
    torch.testing.assert_close(zero[0, :, 0, 0] * torch.tensor([0.229, 0.224, 0.225]),
                               -torch.tensor([0.1, 0.2, 0.3]))  # fmt: skip


def test_pinned_weights_are_compared_when_they_are_loaded(
    state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    path = tmp_path / "w.safetensors"
    save_file(state, path)
    spec = parse(f"timm(name={MODEL!r}, weights={str(path)!r})")
    pinned, where = pin_weights(spec)
    assert str(pinned).startswith(f"timm(name={MODEL!r}, weights='w.safetensors#")
    _same(build_encoder(locate_weights(pinned, where), 1), state)
    assert build_encoder(pinned, 1).inputs.normalize == "zscore"  # the architecture alone
    save_file({n: t + 1 for n, t in state.items()}, path)
    assert pin_weights(spec)[0] != pinned
    with pytest.raises(SpecError, match="has changed since the run was planned"):
        build_encoder(locate_weights(pinned, where), 1)


def test_a_2d_resnet_can_be_inflated_into_ours(tmp_path: Path) -> None:
    torch.manual_seed(0)
    published = timm.create_model("resnet18", in_chans=1)
    save_file(published.state_dict(), tmp_path / "w.safetensors")
    text = f"r3d(width=64, weights={str(tmp_path / 'w.safetensors')!r}, inflate={{}})"
    flat = build_encoder(f"r2d(width=64, weights={str(tmp_path / 'w.safetensors')!r})", 1).eval()
    center, mean = (build_encoder(text.format(how), 1).eval() for how in ("3", "'mean'"))
    volume = torch.randn(1, 1, 1, 32, 32).repeat(1, 1, 15, 1, 1)
    with torch.inference_mode():
        wanted = flat(volume)
        torch.testing.assert_close(center(volume), wanted)
        # far from the ends, where zeros come in, a stack of equal slices is one slice
        deep = torch.randn(1, 1, 1, 32, 32).repeat(1, 1, 41, 1, 1)
        torch.testing.assert_close(mean(deep)[:, 20], flat(deep)[:, 20], rtol=1e-3, atol=1e-4)
    assert isinstance(flat, ResNet)
    torch.testing.assert_close(flat.blocks[2].projection.weight,
                               published.layer2[0].downsample[0].weight)  # fmt: skip


def test_real_imagenet_weights_see_a_photograph_as_their_authors_do(tmp_path: Path) -> None:
    path = lite0_weights(tmp_path)
    encoder = build_encoder(f"timm(name={NAME!r}, weights={str(path)!r}, normalize='unit')", 1)
    grey = torch.rand(1, 1, 1, 64, 64)
    seen = _seen(encoder, grey)
    torch.testing.assert_close(seen, ((grey[:, :, 0] * 255 - 127.5) / 127.5).repeat(1, 3, 1, 1))
    reference = timm.create_model(NAME, num_classes=0).eval()
    reference.load_state_dict(encoder.backbone.state_dict())
    with torch.inference_mode():
        found = encoder.eval()(grey)[0]
        torch.testing.assert_close(found, reference(seen), rtol=1e-4, atol=1e-4)

"""Published weights: synthetic checkpoints with the names and shapes of the files that exist."""

import pytest
import torch
from batches import volumes
from monai.networks.nets.resnet import ResNet as MonaiResNet
from monai.networks.nets.resnet import get_inplanes
from monai.networks.nets.segresnet_ds import SegResEncoder, SegResNetDS
from safetensors.torch import save_file
from torch import nn
from volbench.encoders.building import build_encoder
from volbench.errors import SpecError

BLOCKS = {10: [1, 1, 1, 1], 18: [2, 2, 2, 2], 50: [3, 4, 6, 3]}


@pytest.fixture(autouse=True)
def _drawn_anew():
    torch.manual_seed(7)


def drawn(network):
    """Values that differ in every tensor, running statistics included, as after training."""
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5) if tensor.ndim == 1 else tensor.normal_(std=0.05)
    return network.eval()


def medicalnet(layers):
    """The network of a MedicalNet file: 18 and 34 layers have the shortcut without weights."""
    return drawn(
        MonaiResNet(
            "bottleneck" if layers >= 50 else "basic",
            BLOCKS[layers],
            get_inplanes(),
            n_input_channels=1,
            conv1_t_stride=2,
            shortcut_type="A" if layers in (18, 34) else "B",
            bias_downsample=False,
            feed_forward=False,
        )
    )


def loaded(spec, path):
    name = spec.removesuffix(")") + (", " if "(" in spec else "(")
    return build_encoder(f"{name}weights={str(path)!r})", 1).eval()


@pytest.mark.parametrize("layers", [10, 18, 50])
def test_medicalnet_is_loaded_with_either_shortcut(layers, tmp_path):
    network = medicalnet(layers)
    state = {f"module.{name}": one for name, one in network.state_dict().items()}
    assert any("downsample" in name for name in state) == (layers != 18)
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "resnet.pth")
    encoder = loaded(f"monai_resnet(layers={layers})", tmp_path / "resnet.pth")
    volume, _ = volumes(20, 20, size=(40, 33))
    with torch.inference_mode():
        pooled = encoder(volume).mean(dim=1)
        torch.testing.assert_close(pooled, network(volume), rtol=1e-3, atol=1e-4)


def test_a_shortcut_without_weights_passes_gradients(tmp_path):
    torch.save({"state_dict": medicalnet(18).state_dict()}, tmp_path / "resnet.pth")
    encoder = loaded("monai_resnet(layers=18)", tmp_path / "resnet.pth").train()
    encoder(volumes(4, 4)[0]).square().mean().backward()
    gradient = encoder.network.layer2[0].downsample[0].layer.weight.grad
    assert gradient.abs().sum() > 0


def test_weights_of_fewer_layers_are_refused_by_name(tmp_path):
    torch.save({"state_dict": medicalnet(10).state_dict()}, tmp_path / "resnet.pth")
    with pytest.raises(SpecError, match=r"do not fit monai_resnet: \d+ missing \(network.layer1.1"):
        loaded("monai_resnet(layers=18)", tmp_path / "resnet.pth")


@pytest.mark.parametrize("whole", [False, True], ids=["feature extractor", "with its decoder"])
def test_ct_fm_is_loaded(whole, tmp_path):
    options = {"init_filters": 8, "blocks_down": (1, 2, 2)}
    network = drawn(SegResNetDS(**options) if whole else SegResEncoder(**options))
    assert ("encoder.conv_init.weight" if whole else "conv_init.weight") in network.state_dict()
    save_file(network.state_dict(), tmp_path / "model.safetensors")
    encoder = loaded("monai_segresnet(blocks=(1, 2, 2), filters=8)", tmp_path / "model.safetensors")
    volume, _ = volumes(8, 8)
    with torch.inference_mode():
        maps = (network.encoder if whole else network)(volume)[-1]
        expected = maps.mean(dim=(3, 4)).transpose(1, 2)
        torch.testing.assert_close(encoder(volume), expected, rtol=1e-4, atol=1e-4)


def test_the_default_segresnet_has_the_shapes_of_ct_fm():
    ours = build_encoder("monai_segresnet", 1)
    published = SegResEncoder(init_filters=32, blocks_down=(1, 2, 2, 4, 4))
    assert ours.num_features == 512
    shapes = [tuple(one.shape) for one in published.state_dict().values()]
    assert [tuple(one.shape) for one in ours.state_dict().values()] == shapes


class NnUnet:
    """What nnU-Net's residual encoder computes, from the tensors of a checkpoint by their names."""

    def __init__(self, state, blocks):
        self.state, self.blocks = state, blocks

    def layer(self, maps, name, *, stride=1, act=True):
        weight, bias = self.state[f"{name}.conv.weight"], self.state.get(f"{name}.conv.bias")
        padding = weight.shape[-1] // 2
        maps = nn.functional.conv3d(maps, weight, bias, stride, padding)
        scale, shift = self.state[f"{name}.norm.weight"], self.state[f"{name}.norm.bias"]
        maps = nn.functional.instance_norm(maps, weight=scale, bias=shift, eps=1e-5)
        return nn.functional.leaky_relu(maps, 0.01) if act else maps

    def __call__(self, maps):
        maps = self.layer(maps, "encoder.stem.convs.0")
        for stage, count in enumerate(self.blocks):
            for block in range(count):
                name = f"encoder.stages.{stage}.blocks.{block}"
                stride = 2 if stage and not block else 1
                found = self.layer(maps, f"{name}.conv1", stride=stride)
                found = self.layer(found, f"{name}.conv2", act=False)
                if stride == 2:
                    maps = nn.functional.avg_pool3d(maps, 2)
                if f"{name}.skip.{stride - 1}.conv.weight" in self.state:
                    maps = self.layer(maps, f"{name}.skip.{stride - 1}", act=False)
                maps = nn.functional.leaky_relu(found + maps, 0.01)
        return maps


def nnunet_checkpoint(filters, blocks):
    """Tensors as nnU-Net names them; each layer's once more under ``all_modules``."""
    state = {}

    def layer(name, channels, width, size=3):
        state[f"{name}.conv.weight"] = torch.randn(width, channels, size, size, size) * 0.1
        if size > 1:
            state[f"{name}.conv.bias"] = torch.randn(width)
        state[f"{name}.norm.weight"] = torch.rand(width) + 0.5
        state[f"{name}.norm.bias"] = torch.randn(width)
        for place, part in enumerate(("conv", "norm")):
            for kind in ("weight", "bias"):
                if (tensor := state.get(f"{name}.{part}.{kind}")) is not None:
                    state[f"{name}.all_modules.{place}.{kind}"] = tensor

    layer("encoder.stem.convs.0", 1, filters[0])
    channels = filters[0]
    for stage, (width, count) in enumerate(zip(filters, blocks, strict=True)):
        for block in range(count):
            name = f"encoder.stages.{stage}.blocks.{block}"
            layer(f"{name}.conv1", channels, width)
            layer(f"{name}.conv2", width, width)
            if channels != width:
                layer(f"{name}.skip.{int(stage > 0)}", channels, width, size=1)
            channels = width
    state["decoder.stages.0.convs.0.conv.weight"] = torch.randn(4, 4, 3, 3, 3)
    return state


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod."])
def test_openmind_is_loaded(prefix, tmp_path):
    filters, blocks = (4, 8, 8), (1, 2, 1)
    state = nnunet_checkpoint(filters, blocks)
    content = {
        "network_weights": {prefix + name: one for name, one in state.items()},
        "nnssl_adaptation_plan": {"key_to_encoder": "encoder.stages"},
    }
    torch.save(content, tmp_path / "checkpoint_final.pth")
    encoder = loaded(f"nnunet_resenc({filters=}, {blocks=})", tmp_path / "checkpoint_final.pth")
    volume, _ = volumes(8, 8)
    expected = NnUnet(state, blocks)(volume).mean(dim=(3, 4)).transpose(1, 2)
    torch.testing.assert_close(encoder(volume), expected, rtol=1e-4, atol=1e-4)


def test_the_default_resenc_has_the_shapes_of_openmind():
    ours = build_encoder("nnunet_resenc", 1)
    published = nnunet_checkpoint((32, 64, 128, 256, 320, 320), (1, 3, 4, 6, 6, 6))
    once = [
        tuple(one.shape)
        for name, one in published.items()
        if "all_modules" not in name and name.startswith("encoder.")
    ]
    assert sorted(tuple(one.shape) for one in ours.state_dict().values()) == sorted(once)


@pytest.mark.parametrize(
    "spec", ["monai_resnet(layers=10, width=0.125)", "nnunet_resenc(filters=(4, 8), blocks=(1, 1))"]
)
def test_a_published_encoder_can_be_frozen_or_adapted(spec, tmp_path):
    encoder = build_encoder(spec, 1)
    save_file(encoder.state_dict(), tmp_path / "own.safetensors")
    frozen = build_encoder(
        f"{spec[:-1]}, weights={str(tmp_path / 'own.safetensors')!r}, freeze=true)", 1
    )
    volume, _ = volumes(4, 4)
    assert torch.equal(frozen(volume), encoder.eval()(volume))
    adapted = build_encoder(f"{spec[:-1]}, adapt=lora(rank=2))", 1)
    names = [name for name, one in adapted.named_parameters() if one.requires_grad]
    assert names
    assert all(name.endswith((".up", ".down")) for name in names)

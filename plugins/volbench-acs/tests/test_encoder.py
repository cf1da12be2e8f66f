import huggingface_hub.constants
import pytest
import timm
import torch
from three_d import resnet_3d, shake, tokens_3d
from torch.testing import assert_close
from volbench.encoders.timm import Timm
from volbench.errors import SpecError
from volbench.interfaces import Encoder
from volbench.plugins.registry import encoders
from volbench.profiling.encoder_cost import profile_encoder

from volbench_acs.encoder import ACS

NAMES = ("resnet18", "resnet26", "resnext26ts", "densenet121", "efficientnet_lite0")


def parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("name", ["resnet18", "resnet26"])
def test_tokens_are_those_of_the_3d_network_with_the_expanded_kernels(name):
    flat = shake(timm.create_model(name, in_chans=2, num_classes=0).double())
    encoder = ACS(2, name=name).double().eval()
    encoder.flat.backbone.load_state_dict(flat.state_dict())
    deep = resnet_3d(flat).eval()
    volume = torch.randn(2, 2, 5, 33, 46, dtype=torch.float64)
    mask = torch.tensor([[True, True, True, False, False], [True] * 5])
    with torch.no_grad():
        tokens = encoder(volume, mask)
        assert_close(tokens[:1, :3], tokens_3d(deep, volume[:1, :, :3]))
        assert_close(tokens[1:], tokens_3d(deep, volume[1:]))


@pytest.mark.parametrize("name", NAMES)
def test_parameters_and_their_names_are_those_of_the_2d_network(name):
    flat = timm.create_model(name, in_chans=1, num_classes=0)
    encoder = ACS(1, name=name)
    assert parameters(encoder) == parameters(flat)
    encoder.flat.backbone.load_state_dict(flat.state_dict(), strict=True)


def test_it_multiplies_as_often_as_the_2d_network():
    deep, flat = profile_encoder(ACS(1)), profile_encoder(Timm(1, name="resnet18"))
    assert deep.gflops_per_slice == pytest.approx(flat.gflops_per_slice, rel=1e-12)
    assert deep.num_features == flat.num_features == 512
    # The stem spans 7 slices; sixteen 3×3 convolutions see one more on either side.
    assert (deep.receptive_slices, flat.receptive_slices) == (7 + 16 * 2, 1)


def test_a_token_sees_its_neighbours():
    encoder = encoders.build("acs", Encoder, 1).eval()
    volume = torch.randn(1, 1, 3, 32, 32)
    other = volume.clone()
    other[:, :, 2] += 1
    with torch.no_grad():
        assert (encoder(volume)[0, 0] - encoder(other)[0, 0]).abs().max() > 1e-4


def test_the_weights_that_timm_loads_are_used(monkeypatch):
    """Pretrained weights come from a network without a network: a model that stands for them."""
    loaded = shake(timm.create_model("resnet18", in_chans=1, num_classes=0))
    create = timm.create_model

    def create_model(name, *, pretrained, **options):
        return loaded if pretrained else create(name, **options)

    monkeypatch.setattr(timm, "create_model", create_model)
    expected = {key: value.clone() for key, value in loaded.state_dict().items()}
    found = ACS(1, pretrained=True).flat.backbone.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)


def test_weights_out_of_reach_are_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(SpecError, match="pretrained weights cannot be loaded") as caught:
        encoders.build("acs(pretrained=True)", Encoder, 1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (
            "convnext_atto",
            "timm model 'convnext_atto' cannot be turned into 3D: its layer stem.0 has a kernel of "
            "4×4, which has no slice in its middle; choose a convolutional one, such as 'resnet18'",
        ),
        (
            "tf_efficientnet_lite0",
            "timm model 'tf_efficientnet_lite0' cannot be turned into 3D: its layer conv_stem is a "
            "Conv2dSame, not a plain Conv2d; choose a convolutional one, such as 'resnet18'",
        ),
        ("resnt18", "timm has no model 'resnt18'; did you mean 'resnet18'"),
    ],
)
def test_a_model_that_cannot_be_turned_is_refused_in_one_line(name, reason):
    with pytest.raises(SpecError) as caught:
        encoders.build(f"acs(name={name!r})", Encoder, 1)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)

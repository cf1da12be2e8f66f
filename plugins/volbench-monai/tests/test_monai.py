"""Each encoder against MONAI's network called directly, with the same weights."""

import pytest
import torch
from batches import build, volumes
from monai.networks.nets.densenet import DenseNet121
from monai.networks.nets.resnet import ResNet as MonaiResNet
from monai.networks.nets.resnet import ResNetFeatures, get_inplanes, resnet18
from monai.networks.nets.swin_unetr import SwinUNETR


def give_weights(encoder, network):
    """Copy a network's weights; a wrapped layer's names have one word more."""
    weights = {name.replace(".layer.", "."): value for name, value in encoder.state_dict().items()}
    own = network.state_dict()
    assert weights.keys() <= own.keys()
    for name, value in weights.items():
        value.copy_(own[name])


def in_training_and_in_evaluation(ours, monais):
    for training in (True, False):
        ours.train(training), monais.train(training)
        yield


@pytest.mark.parametrize("layers", [10, 50])
def test_a_resnet_gives_the_features_of_monais_encoder(layers):
    network = ResNetFeatures(f"resnet{layers}", pretrained=False, in_channels=2)
    encoder = build(f"monai_resnet(layers={layers})", in_channels=2)
    give_weights(encoder.network, network)
    volume, _ = volumes(40, 40, size=(64, 33), channels=2)
    for _ in in_training_and_in_evaluation(encoder, network):
        expected = network(volume)[-1].mean(dim=(3, 4)).transpose(1, 2)
        torch.testing.assert_close(encoder(volume), expected, rtol=1e-4, atol=1e-5)


def test_a_stem_of_stride_one_gives_monais_resnet18():
    network = resnet18(n_input_channels=1, bias_downsample=False, feed_forward=False)
    encoder = build("monai_resnet(stem_stride=1)")
    give_weights(encoder.network, network)
    volume, _ = volumes(18, 18, size=(32, 40))
    for _ in in_training_and_in_evaluation(encoder, network):
        pooled = encoder(volume).mean(dim=1)  # MONAI's pooling: both have two tokens per case
        torch.testing.assert_close(pooled, network(volume), rtol=1e-4, atol=1e-5)


def test_the_stem_is_as_one_says():
    network = MonaiResNet(
        "basic", [1, 1, 1, 1], get_inplanes(), n_input_channels=1, conv1_t_size=(3, 5, 5),
        conv1_t_stride=2, no_max_pool=True, widen_factor=0.5, bias_downsample=False,
        feed_forward=False,
    )  # fmt: skip
    encoder = build("monai_resnet(layers=10, max_pool=False, stem_kernel=(3, 5, 5), width=0.5)")
    give_weights(encoder.network, network)
    assert (encoder.num_features, encoder.slice_stride) == (256, 16)
    volume, _ = volumes(16, 16)
    torch.testing.assert_close(encoder(volume)[:, 0], network(volume), rtol=1e-4, atol=1e-5)


def test_a_densenet_gives_the_features_of_monais():
    network = DenseNet121(spatial_dims=3, in_channels=1, out_channels=1)
    encoder = build("monai_densenet")
    give_weights(encoder.features, network.features)
    volume, _ = volumes(32, 32, size=(64, 32))
    for _ in in_training_and_in_evaluation(encoder, network):
        expected = network.features(volume).relu().mean(dim=(2, 3, 4))
        torch.testing.assert_close(encoder(volume)[:, 0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [24, 12])
def test_swin_unetr_gives_the_last_state_of_its_encoder(size):
    network = SwinUNETR(in_channels=2, out_channels=1, feature_size=size).swinViT
    encoder = build(f"monai_swin_unetr(feature_size={size})", in_channels=2)
    encoder.network.load_state_dict(network.state_dict())
    volume, _ = volumes(64, 64, channels=2)
    states = network(volume, normalize=True)
    expected = states[-1].mean(dim=(3, 4)).transpose(1, 2)
    assert encoder(volume).shape == (2, 2, 16 * size)
    torch.testing.assert_close(encoder(volume), expected, rtol=1e-4, atol=1e-5)


def test_fewer_stages_give_an_earlier_state():
    network = SwinUNETR(in_channels=1, out_channels=1, feature_size=12).swinViT
    encoder = build("monai_swin_unetr(feature_size=12, depths=(2, 2))")
    encoder.network.load_state_dict(
        {name: network.state_dict()[name] for name in encoder.network.state_dict()}
    )
    volume, _ = volumes(19)
    expected = network(volume)[2].mean(dim=(3, 4)).transpose(1, 2)
    torch.testing.assert_close(encoder(volume), expected, rtol=1e-4, atol=1e-5)

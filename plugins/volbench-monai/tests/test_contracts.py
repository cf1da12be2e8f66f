"""The suites that volbench's own encoders pass, with options that change what is done."""

import pytest
from volbench.plugins.registry import encoders
from volbench.testing import EncoderContract

SMALL = (
    "monai_resnet(layers=10, width=0.25)",
    "monai_resnet(layers=10, slice_stride=1, width=0.25)",
    "monai_resnet(layers=50, max_pool=False, slice_stride=4, stem_stride=1, width=0.125)",
    "monai_resnet(layers=18, stem_kernel=(1, 5, 5), width=0.25)",
    "monai_densenet(growth_rate=4, init_features=8)",
    "monai_densenet(growth_rate=4, init_features=8, slice_stride=2)",
    "monai_segresnet(blocks=(1, 1, 1), filters=4)",
    "monai_segresnet(blocks=(1, 2), filters=4, slice_stride=1)",
    "monai_swin_unetr(feature_size=12)",
    "monai_swin_unetr(depths=(1, 1), feature_size=12, patch=(1, 2, 2), window=(2, 4, 4))",
    "nnunet_resenc(blocks=(1, 2, 1), filters=(4, 8, 8))",
    "nnunet_resenc(blocks=(1, 1), filters=(4, 8), slice_stride=1)",
)
LARGE = (
    "monai_resnet",
    "monai_resnet(layers=34)",
    "monai_densenet",
    "monai_segresnet",
    "nnunet_resenc",
)


class Any(EncoderContract):
    # Importing MONAI takes 4 s of processor time; it is done when an encoder is built, not before.
    import_seconds = 5.0

    @pytest.fixture(autouse=True)
    def _spec(self, spec):
        self.spec = spec


@pytest.mark.parametrize("spec", SMALL)
class TestEncoder(Any):
    pass


@pytest.mark.slow
@pytest.mark.parametrize("spec", LARGE)
class TestLargeEncoder(Any):
    @pytest.fixture(autouse=True)
    def _planes(self, spec):
        # Five halvings leave one pixel of 32, and instance normalisation makes it 0, always.
        if spec == "nnunet_resenc":
            self.planes = ((64, 64), (96, 64))


def test_all_that_is_provided_is_under_test():
    provided = {
        name
        for name in encoders
        if any(origin.distribution == "volbench-monai" for origin in encoders.origins[name])
    }
    assert provided == {spec.partition("(")[0] for spec in SMALL}

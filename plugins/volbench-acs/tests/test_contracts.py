"""The suite that volbench's own encoders pass."""

from volbench.testing import EncoderContract


class TestACS(EncoderContract):
    spec = "acs(name='test_resnet')"


class TestACSOfTheDefaultNetwork(EncoderContract):
    spec = "acs"


class TestACSWithDepthwiseConvolutions(EncoderContract):
    spec = "acs(name='test_efficientnet')"

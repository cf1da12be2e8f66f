"""The suites that volbench's own components pass, one class for each component."""

import nibabel as nib
import numpy as np
import pytest
from volbench.testing import (
    AggregatorContract,
    AugmentationContract,
    DatasetContract,
    EncoderContract,
    LossContract,
    TrackerContract,
)


class TestLeNet(EncoderContract):
    spec = "lenet(width=8)"


class TestTopK(AggregatorContract):
    spec = "top_k"


class TestTopOne(AggregatorContract):
    spec = "top_k(k=1)"


class TestGeneralizedCrossEntropy(LossContract):
    spec = "generalized_cross_entropy"


class TestCutout(AugmentationContract):
    spec = "cutout"


class TestClassFolders(DatasetContract):
    @pytest.fixture(autouse=True)
    def _spec(self, folders):
        self.spec = f"class_folders(path={str(folders)!r}, separator='_')"


class TestCsvCurves(TrackerContract):
    spec = "csv_curves"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two classes of four volumes; two of each are of one patient."""
    path = tmp_path_factory.mktemp("sorted")
    for number in range(8):
        file = path / ("benign", "malignant")[number % 2] / f"p{number // 4}{number % 2}_{number}"
        file.parent.mkdir(exist_ok=True)
        voxels = np.random.default_rng(number).normal(size=(16, 16, 3)).astype(np.float32)
        nib.save(nib.Nifti1Image(voxels, np.diag([1, 1, 5, 1])), f"{file}.nii.gz")
    return path

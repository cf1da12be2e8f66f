"""TorchIO's transforms among the components: listed without an import, described by its docs."""

import subprocess
import sys

import pytest
import torchio as tio

from volbench.errors import UnknownComponentError
from volbench.plugins.catalog import components
from volbench.plugins.component_info import describe
from volbench.plugins.torchio_transforms import random_names

LISTING = """
import sys
from volbench.plugins.catalog import components
names = [item.name for item in components("augmentations")]
assert "torchio.RandomMotion" in names
print(sorted({"torch", "torchio", "SimpleITK", "nibabel"} & set(sys.modules)))
"""


def test_every_random_transform_of_the_installed_torchio_is_listed_and_no_other():
    random = tio.transforms.augmentation.RandomTransform
    public = {
        f"torchio.{name}"
        for name, value in vars(tio.transforms).items()
        if isinstance(value, type) and issubclass(value, random)
    }
    assert set(random_names()) == public
    assert all(random_names().values())


def test_listing_them_imports_nothing_heavy():
    done = subprocess.run([sys.executable, "-c", LISTING], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


def test_they_stand_after_those_that_distributions_declare():
    names = [item.name for item in components("augmentations")]
    first = names.index("torchio.OneOf")
    assert "flip" in names[:first]
    assert all(name.startswith("torchio.") for name in names[first:])


def test_information_comes_from_its_documentation():
    (found,) = describe("torchio.RandomMotion")
    assert (found.kind, found.summary) == ("augmentation", "Add random MRI motion artifact.")
    assert found.provider == f"torchio {tio.__version__}"
    assert "num_transforms: int = 2" in found.signature
    assert "degrees" in found.origin
    assert found.file.partition(":")[0].endswith("random_motion.py")
    assert any("shaw19a" in link for link in found.citations)
    assert describe("torchio.Resample")[0].kind == "transform"


def test_a_misspelt_name_has_a_neighbour():
    with pytest.raises(UnknownComponentError, match="Did you mean 'RandomMotion'"):
        describe("torchio.RandomMotio")

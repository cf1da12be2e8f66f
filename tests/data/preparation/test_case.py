"""One case: its facts are those of the file, and its stored volume is of its options."""

from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.volumes_on_disk import box, case, image, write
from volbench.data.cache.fingerprints import data_digest
from volbench.data.preparation.case import prepare_case, resumable_task
from volbench.data.preprocessing.options import Preprocessing


@pytest.mark.parametrize("options", [{"crop": "none"}, {"crop": "roi"}, {"slice_margin": 0}])
def test_size_and_region_are_told_as_stored_whatever_preparation_makes_of_them(options, tmp_path):
    given = case(write(tmp_path / "a.nii"), mask=write(tmp_path / "m.nii", image(box())))
    wanted = Preprocessing(**{"size": 7, "crop": "none", "normalize": "none", **options})
    prepared = prepare_case(given, wanted, channels=("image",))
    facts = prepared.geometry
    assert facts.stored_shape == (6, 12, 10)
    assert facts.stored_spacing_mm == pytest.approx((3.0, 0.6, 0.5))
    assert facts.roi_mm3 == pytest.approx(2 * 3 * 4 * 3.0 * 0.6 * 0.5)
    assert prepared.voxels.shape == (facts.slices, 1, 7, 7)
    assert facts.spacing_mm[1:] != facts.stored_spacing_mm[1:]
    kept = np.unpackbits(prepared.mask, axis=-1, count=7).any(axis=(1, 2))
    assert len(kept) == facts.slices
    assert kept.sum() == 2


def test_a_case_that_is_resumed_is_one_of_the_same_content_and_options(tmp_path):
    given = case(tmp_path / "a.nii")
    ours, same, other_options, other_content = (
        resumable_task(given, content, ("image",), Preprocessing(size=size), tmp_path).path
        for content, size in (("c", 8), ("c", 8), ("c", 9), ("d", 8))
    )
    assert ours == same
    assert len({ours, other_options, other_content}) == 3


def test_the_data_digest_is_over_all_that_makes_a_case_and_no_order(tmp_path):
    first, second = case(tmp_path / "a"), replace(case(tmp_path / "b"), name="two")
    known = data_digest([first, second], ["f", "g"])
    assert data_digest([second, first], ["g", "f"]) == known
    changes = ({"name": "x"}, {"patient": "x"}, {"label": "x"}, {"representative": (1,)})
    others = [data_digest([replace(first, **change), second], ["f", "g"]) for change in changes]
    assert len({known, *others, data_digest([first, second], ["x", "g"])}) == 6

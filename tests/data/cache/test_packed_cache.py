import json
import subprocess
import sys
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest

from volbench.data.cache.packed_voxels import PreparedCase, open_prepared
from volbench.data.cache.writing import CacheDescription, copy_prepared, redescribe, write_prepared
from volbench.data.preprocessing.options import Preprocessing
from volbench.errors import StateError, UsageError
from volbench.interfaces import Card

DEPTHS = (3, 1, 4)
CARD = Card("Noise", "CC0", "nobody", "https://example.org")


def volumes():
    rng = np.random.default_rng(0)
    # 2 channels of 64 x 64 in half precision: 16 KiB a slice, more than what opening compares.
    return [rng.normal(0, 3, (depth, 2, 64, 64)).astype(np.float16) for depth in DEPTHS]


def description(**changes):
    given = {
        "digest": "d" * 64,
        "preprocessing": Preprocessing(size=64, crop="none"),
        "source": "noise(cases=3)",
        "classes": ("benign", "malignant"),
        "channels": ("t2w", "dwi"),
        "card": CARD,
    }
    return CacheDescription(**{**given, **changes})


def cases():
    return [
        PreparedCase(
            name=f"c{index}",
            patient=f"p{index}",
            label=index % 2,
            slices=depth,
            spacing_mm=(3.0, 0.7, 0.7),
            representative=(0,),
            strata={"site": "Zürich"},
            fold=None if index else "test",
            stored_shape=(depth, 70, 80),
            stored_spacing_mm=(3.0, 0.6, 0.6),
            roi_mm3=None if index else 12.5,
        )
        for index, depth in enumerate(DEPTHS)
    ]


@pytest.fixture
def folder(tmp_path):
    write_prepared(tmp_path / "cache", description(), cases(), volumes())
    return tmp_path / "cache"


def test_what_was_written_is_what_is_opened(folder):
    prepared = open_prepared(folder)
    assert list(prepared.cases) == cases()
    assert prepared.voxels.shape == (8, 2, 64, 64)
    assert prepared.offsets.tolist() == [0, 3, 4, 8]
    assert prepared.offsets.dtype == np.int64
    for index, volume in enumerate(volumes()):
        assert np.array_equal(prepared.volume(index), volume)
    assert prepared.card == CARD
    assert (prepared.classes, prepared.channels) == (("benign", "malignant"), ("t2w", "dwi"))
    assert (prepared.digest, prepared.source) == ("d" * 64, "noise(cases=3)")
    assert prepared.preprocessing == Preprocessing(size=64, crop="none")
    prepared.check()


def regions():
    """One of each case but the first, which has none."""
    rng = np.random.default_rng(1)
    return [None, *(rng.random((depth, 64, 64)) > 0.5 for depth in DEPTHS[1:])]


@pytest.fixture
def masked(tmp_path):
    packed = [None if region is None else np.packbits(region, axis=-1) for region in regions()]
    write_prepared(tmp_path / "masked", description(), cases(), volumes(), packed)
    return tmp_path / "masked"


def test_each_mask_is_that_of_its_case_where_some_have_none(masked):
    prepared = open_prepared(masked)
    assert prepared.mask(0) is None
    for index in (1, 2):
        assert np.array_equal(prepared.mask(index), regions()[index])
    prepared.check()


def test_volumes_are_views_and_writing_to_one_never_reaches_the_file(folder):
    prepared = open_prepared(folder)
    assert isinstance(prepared.voxels, np.memmap)
    assert np.shares_memory(prepared.volume(1), prepared.voxels)
    prepared.volume(1)[:] = 0
    assert not prepared.volume(1).any()
    open_prepared(folder).check()


def flip(path, position):
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def edit(folder, change):
    path = folder / "index.json"
    index = json.loads(path.read_text(encoding="utf-8"))
    change(index)
    path.write_text(json.dumps(index), encoding="utf-8")


def shorten(path, count):
    path.write_bytes(path.read_bytes()[:-count])


def lengthen(path, count):
    path.write_bytes(path.read_bytes() + bytes(count))


DAMAGES = {
    "voxels cut": (
        lambda folder: shorten(folder / "voxels.f16", 2),
        "voxels.f16 has 131070 bytes where 131072 belong",
    ),
    "voxels appended": (
        lambda folder: lengthen(folder / "voxels.f16", 2),
        "voxels.f16 has 131074 bytes where 131072 belong",
    ),
    "voxels gone": (lambda folder: (folder / "voxels.f16").unlink(), "voxels.f16: No such file"),
    "first voxel": (lambda folder: flip(folder / "voxels.f16", 0), "voxels of case 'c0'"),
    "last voxel": (lambda folder: flip(folder / "voxels.f16", -1), "voxels of case 'c2'"),
    "voxels zero": (
        lambda folder: (folder / "voxels.f16").write_bytes(bytes(131072)),
        "voxels of case 'c0'",
    ),
    "a label edited": (
        lambda folder: edit(folder, lambda index: index["content"]["cases"][1].update(label=0)),
        "index.json has changed since it was written",
    ),
    "index cut": (lambda folder: shorten(folder / "index.json", 9), "index.json cannot be read"),
    "index binary": (
        lambda folder: (folder / "index.json").write_bytes(b"\xff\xfe\0"),
        "index.json cannot be read",
    ),
    "index of something else": (
        lambda folder: (folder / "index.json").write_text("[1, 2]"),
        "index.json cannot be read",
    ),
}


@pytest.mark.parametrize(("damage", "reason"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_cache_is_refused_with_the_reason(folder, damage, reason):
    damage(folder)
    with pytest.raises(StateError, match="prepare it again") as error:
        open_prepared(folder)
    assert reason in str(error.value)
    assert str(folder) in str(error.value)


@pytest.mark.parametrize("leftover", [[], ["voxels.f16"]])
def test_a_cache_that_was_cut_off_is_refused(folder, leftover):
    for path in folder.iterdir():
        if path.name not in leftover:
            path.unlink()
    with pytest.raises(StateError, match=r"index.json is missing.*prepare it again"):
        open_prepared(folder)


def test_a_newer_cache_asks_for_a_newer_volbench(folder):
    edit(folder, lambda index: index.update(schema=2))
    with pytest.raises(StateError, match=r"newer volbench \(schema 2, .* update volbench"):
        open_prepared(folder)


def test_one_bit_in_the_middle_is_found_by_a_whole_check(folder):
    flip(folder / "voxels.f16", 16384 * 3 + 9000)  # case c1 starts after three slices
    prepared = open_prepared(folder)
    with pytest.raises(StateError, match="voxels of case 'c1' changed on disk"):
        prepared.check()


def test_one_bit_of_a_mask_is_found_by_a_whole_check(masked):
    flip(masked / "masks.bits", 64 * 8 + 1000)  # case c2 starts after the one slice of c1
    prepared = open_prepared(masked)
    with pytest.raises(StateError, match="mask of case 'c2' changed on disk"):
        prepared.check()


def test_another_process_opens_the_file_instead_of_receiving_it(folder):
    prepared = open_prepared(folder)
    sent = ForkingPickler.dumps(prepared)
    assert len(sent) < 1000
    received = ForkingPickler.loads(sent)
    assert isinstance(received.voxels, np.memmap)
    assert np.array_equal(received.voxels, prepared.voxels)


def test_another_index_shares_the_voxels(folder, tmp_path):
    old = open_prepared(folder)
    swapped = description(classes=("malignant", "benign"))
    new = redescribe(old, tmp_path / "other", swapped, cases())
    assert new.classes == ("malignant", "benign")
    assert (new.folder / "voxels.f16").samefile(folder / "voxels.f16")
    assert open_prepared(folder).classes == ("benign", "malignant")
    new.check()


def test_a_copy_is_whole_and_stands_alone(folder, tmp_path):
    copy = copy_prepared(open_prepared(folder), tmp_path / "copy")
    assert sorted(path.name for path in copy.folder.iterdir()) == ["index.json", "voxels.f16"]
    for path in folder.iterdir():
        assert (copy.folder / path.name).read_bytes() == path.read_bytes()
        assert not (copy.folder / path.name).samefile(path)
        path.unlink()
    open_prepared(copy.folder).check()


def test_a_copy_that_was_cut_off_is_completed(folder, tmp_path):
    target = tmp_path / "copy"
    target.mkdir()
    (target / "voxels.f16").write_bytes(b"half")
    copy_prepared(open_prepared(folder), target).check()


def test_copying_twice_checks_the_copy_and_writes_nothing(folder, tmp_path):
    prepared = open_prepared(folder)
    copy = copy_prepared(prepared, tmp_path / "copy")
    before = (copy.folder / "voxels.f16").stat().st_mtime_ns
    copy_prepared(prepared, copy.folder)
    assert (copy.folder / "voxels.f16").stat().st_mtime_ns == before
    flip(copy.folder / "voxels.f16", 9000)
    with pytest.raises(StateError, match="voxels of case 'c0'"):
        copy_prepared(prepared, copy.folder)


def test_a_copy_never_lands_on_something_else(folder, tmp_path):
    taken = tmp_path / "thesis"
    taken.mkdir()
    (taken / "chapter1.tex").write_text("precious")
    with pytest.raises(UsageError, match="thesis is there already and holds something else"):
        copy_prepared(open_prepared(folder), taken)
    other = write_prepared(tmp_path / "other", description(digest="e"), cases(), volumes())
    with pytest.raises(UsageError, match="holds something else"):
        copy_prepared(open_prepared(folder), other.folder)
    assert open_prepared(other.folder).digest == "e"


OPEN = """
import sys
from pathlib import Path
from volbench.data.{module} import {function}
{statement}
assert prepared.volume(0).shape == (3, 2, 64, 64)
prepared.check()
heavy = {{"torch", "SimpleITK", "torchio", "kornia", "pandas", "scipy", "sklearn", "nibabel"}}
print(sorted(heavy & set(sys.modules)))
"""


@pytest.mark.parametrize(
    ("module", "function", "statement"),
    [
        ("cache", "open_prepared", "prepared = open_prepared(Path(sys.argv[1]))"),
        (
            "preparation.prepare_data",
            "prepare",
            "from volbench.data.preprocessing.options import Preprocessing\n"
            "prepared = prepare(sys.argv[1], Preprocessing())",
        ),
    ],
)
def test_opening_needs_nothing_that_a_training_node_may_lack(folder, module, function, statement):
    script = OPEN.format(module=module, function=function, statement=statement)
    command = [sys.executable, "-c", script, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr

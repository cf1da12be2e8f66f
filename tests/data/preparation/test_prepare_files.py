"""Preparing files through a manifest: remembered fingerprints, changes, and the command."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from click.testing import CliRunner

from volbench.cli.main import main
from volbench.data import reading as read
from volbench.data.cache.packed_voxels import open_prepared
from volbench.data.preparation.prepare_data import prepare
from volbench.data.preprocessing.options import Preprocessing
from volbench.errors import DataError

OPTIONS = Preprocessing(size=8)


@pytest.fixture
def manifest(tmp_path):
    lines = ["image,label,patient"]
    for number in range(4):
        write(tmp_path / f"scan{number}.nrrd", number)
        lines.append(f"scan{number}.nrrd,{'benign' if number % 2 else 'malignant'},p{number}")
    path = tmp_path / "manifest.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def write(path, seed):
    voxels = np.random.default_rng(seed).integers(0, 1000, (3, 12, 12)).astype(np.int16)
    image = SimpleITK.GetImageFromArray(voxels)
    image.SetSpacing((0.5, 0.5, 4.0))
    SimpleITK.WriteImage(image, str(path))


@pytest.fixture
def fingerprinted(monkeypatch):
    """The names of the cases whose files were hashed."""
    names = []
    fingerprint = read.fingerprint

    def recording(case):
        names.append(case.name)
        return fingerprint(case)

    monkeypatch.setattr(read, "fingerprint", recording)
    return names


def test_unchanged_files_are_not_read_again(tmp_path, manifest, fingerprinted):
    first = prepare(str(manifest), OPTIONS, root=tmp_path / "cache")
    assert len(fingerprinted) == 4
    again = prepare(str(manifest), OPTIONS, root=tmp_path / "cache")
    assert len(fingerprinted) == 4
    assert again.folder == first.folder
    assert again.digest == first.digest


def test_a_file_that_changed_is_read_again_and_only_that(tmp_path, manifest, fingerprinted):
    first = prepare(str(manifest), OPTIONS, root=tmp_path / "cache")
    fingerprinted.clear()
    write(tmp_path / "scan2.nrrd", 99)
    changed = prepare(str(manifest), OPTIONS, root=tmp_path / "cache")
    assert len(fingerprinted) == 1
    assert changed.digest != first.digest
    same = [np.array_equal(changed.volume(i), first.volume(i)) for i in range(4)]
    assert same == [True, True, False, True]


def test_voxels_changed_behind_an_unchanged_header_are_noticed(tmp_path, manifest, fingerprinted):
    for number in range(4):
        write(tmp_path / f"scan{number}.nhdr", number)
    manifest.write_text(manifest.read_text().replace(".nrrd", ".nhdr"))
    first = prepare(str(manifest), OPTIONS, root=tmp_path / "cache")
    fingerprinted.clear()
    header = tmp_path / "scan2.nhdr"
    before, times = header.read_bytes(), header.stat()
    write(header, 99)
    header.write_bytes(before)
    os.utime(header, ns=(times.st_atime_ns, times.st_mtime_ns))
    changed = prepare(str(manifest), OPTIONS, root=tmp_path / "cache")
    assert len(fingerprinted) == 1
    assert changed.digest != first.digest


def test_a_file_that_was_only_touched_is_hashed_but_changes_nothing(
    tmp_path, manifest, fingerprinted
):
    first = prepare(str(manifest), OPTIONS, root=tmp_path / "cache")
    fingerprinted.clear()
    os.utime(tmp_path / "scan2.nrrd", ns=(1, 1))
    assert prepare(str(manifest), OPTIONS, root=tmp_path / "cache").folder == first.folder
    assert len(fingerprinted) == 1


def test_files_moved_elsewhere_are_the_same_data(tmp_path, manifest):
    first = prepare(str(manifest), OPTIONS, root=tmp_path / "cache")
    for path in [manifest, *tmp_path.glob("*.nrrd")]:
        (tmp_path / "moved").mkdir(exist_ok=True)
        shutil.move(path, tmp_path / "moved" / path.name)
    moved = prepare(str(tmp_path / "moved/manifest.csv"), OPTIONS, root=tmp_path / "cache")
    assert moved.digest == first.digest
    assert (moved.folder / "voxels.f16").samefile(first.folder / "voxels.f16")


def test_a_lost_memory_of_fingerprints_only_costs_time(tmp_path, manifest, fingerprinted):
    first = prepare(str(manifest), OPTIONS, root=tmp_path / "cache")
    (tmp_path / "cache" / "fingerprints.json").write_text("{half of")
    assert prepare(str(manifest), OPTIONS, root=tmp_path / "cache").folder == first.folder
    assert len(fingerprinted) == 8


def test_a_file_that_changes_while_it_is_prepared_is_refused(tmp_path, manifest, monkeypatch):
    fingerprint = read.fingerprint

    def then_overwritten(case):
        found = fingerprint(case)
        if "scan1" in case.name:
            write(tmp_path / "scan1.nrrd", 77)
        return found

    monkeypatch.setattr(read, "fingerprint", then_overwritten)
    with pytest.raises(DataError, match=r"scan1.*change while they are being prepared"):
        prepare(str(manifest), OPTIONS, root=tmp_path / "cache", jobs=1)


def run(*arguments):
    return CliRunner().invoke(main, ["data", "prepare", *map(str, arguments)])


def test_the_command_says_where_the_data_lie_and_how_much_they_are(tmp_path, manifest):
    result = run(manifest, "--set", "preprocessing.size=8", "--jobs", "1")
    assert result.exit_code == 0, result.output
    shown = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert open_prepared(Path(shown["folder"])).voxels.shape == (12, 1, 8, 8)
    assert shown["cases"] == "4 of 4 patients"
    assert shown["slices"] == "12 of 8 x 8, 1 channel"
    assert shown["prepared"] == "size=8, crop=none, normalize=zscore"
    assert shown["size"] == "0.0 MB"
    assert float(shown["seconds"]) >= 0
    assert "preparing: 4/4 cases" in result.stderr


def test_a_copy_serves_where_the_files_are_not(tmp_path, manifest):
    out = tmp_path / "carried"
    settings = ("--set", "preprocessing.size=8", "--set", "preprocessing.normalize=none")
    assert run(manifest, *settings, "--out", out).exit_code == 0
    before = np.array(open_prepared(out).voxels)
    for path in tmp_path.glob("*.nrrd"):
        path.unlink()
    result = run(out)
    assert (result.exit_code, result.stderr) == (0, "")
    assert f"folder    {out}" in result.stdout
    assert np.array_equal(open_prepared(out).voxels, before)


def refused(result, code):
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    (line,) = [line for line in result.stderr.splitlines() if not line.startswith("preparing")]
    return line


def test_what_cannot_be_prepared_is_one_line_and_an_exit_code(tmp_path, manifest):
    out = tmp_path / "carried"
    run(manifest, "--set", "preprocessing.size=8", "--out", out)
    assert "size is 8 there, 9 here" in refused(run(out, "--set", "preprocessing.size=9"), 4)
    assert "Did you mean 'size'" in refused(run(manifest, "--set", "preprocessing.sice=9"), 4)
    early = run(manifest, "--set", "preprocessing.size=9", "--out", tmp_path)
    assert "holds something else" in refused(early, 2)
    assert "preparing" not in early.stderr
    late = run(manifest, "--set", "preprocessing.size=9", "--out", out)
    assert "holds something else" in refused(late, 2)
    assert "--jobs" in refused(run(manifest, "--jobs", "0"), 2)
    voxels = bytearray((out / "voxels.f16").read_bytes())
    voxels[700] ^= 1
    (out / "voxels.f16").write_bytes(voxels)
    assert "is damaged" in refused(run(out), 5)

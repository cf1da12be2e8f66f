"""The benchmark of the input pipeline at toy size; its times are of no interest here."""

import json
import sys

import fixed_geometry
import image_files
import numpy as np
import peer_batches
import pipeline
import pytest
import same_geometry
import scipy.ndimage
import synthesised
import torch
import warm_start


@pytest.fixture
def without(monkeypatch):
    """Packages that cannot be imported."""

    def hide(*packages):
        for package in packages:
            # None is what makes an import fail as if the package were not there.
            for name in [*sys.modules, package]:
                if name.partition(".")[0] == package:
                    monkeypatch.setitem(sys.modules, name, None)

    return hide


def rows(document, title):
    (table,) = (each for each in document["tables"] if each["title"].startswith(title))
    return list(table["candidates"])


def test_it_runs_with_only_torch_and_says_what_is_missing(tmp_path, capsys, without):
    without("SimpleITK", "torchio", "monai", "kornia")
    written = tmp_path / "figures.json"
    command = ["--toy", "--device", "cpu", "--rounds", "1", "--json", str(written)]
    assert pipeline.main(command) == 0
    document = json.loads(written.read_text())
    assert rows(document, "reading 4 x 32 x 32") == ["volbench", "volbench, as stored (float16)"]
    assert rows(document, "geometry of 4 x 32 x 32 on cpu") == list(same_geometry.VOLBENCH)
    output = capsys.readouterr().out
    for package in ("SimpleITK", "torchio", "monai"):
        assert f"{package} is not installed: left out" in output


def test_torchio_and_simpleitk_stand_beside_volbench(tmp_path, without):
    without("monai")
    written = tmp_path / "figures.json"
    command = ["--toy", "--device", "cpu", "--rounds", "1", "--json", str(written)]
    assert pipeline.main(command) == 0
    document = json.loads(written.read_text())
    assert {"SimpleITK, nii.gz", "TorchIO, nii.gz"} < set(rows(document, "reading 4"))
    assert "TorchIO" in rows(document, "geometry of")
    assert rows(document, "reading and geometry") == ["volbench", "TorchIO, TorchIO"]
    assert len(rows(document, "augmented subjects")) == 3


def test_whole_pipelines_shade_what_the_input_pipeline_only_moves():
    shaded = "shade_p=1, brightness=0.1, contrast=0.1"
    assert same_geometry.SAME.replace("shade_p=0", shaded) == peer_batches.OURS
    assert shaded in peer_batches.OURS


def test_torchios_parts_are_its_affine_elastic_and_flip_with_the_amounts_of_all():
    tio = pytest.importorskip("torchio")
    affine, elastic, flip = same_geometry.torchio_parts(100)
    assert isinstance(affine, tio.RandomAffine)
    assert affine.scales == (0.9, 1.1, 0.9, 1.1, 1, 1)
    assert affine.degrees == (0, 0, 0, 0, -5, 5)
    assert affine.translation == (-5, 5, -5, 5, 0, 0)
    assert elastic.max_displacement == (2, 2, 0)
    assert flip.flip_probability == 0.5


def test_the_fixed_geometry_is_what_scipy_makes_of_it():
    size = 64
    volume = fixed_geometry.blobs(2, size, traced_back=False)
    turn, centre = np.radians(5), (size - 1) / 2
    # In rows and columns: the image turns from columns towards rows and grows by 1.1.
    back = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) / 1.1
    expected = scipy.ndimage.affine_transform(
        volume[0].double().numpy(), back, centre - back @ [centre, centre], order=1
    )
    for name in ("volbench", "TorchIO"):
        found = fixed_geometry.by_each()[name]()(volume)
        np.testing.assert_allclose(found[1].numpy(), expected, atol=2e-4, err_msg=name)


def test_a_wrong_geometry_ends_the_script_before_anything_is_timed(capsys, monkeypatch):
    monkeypatch.setattr(fixed_geometry, "FIXED_DEG", -5.0)
    exact = fixed_geometry.blobs(4, 32, traced_back=True)
    monkeypatch.setattr(fixed_geometry, "FIXED_DEG", 5.0)
    start = fixed_geometry.blobs(4, 32, traced_back=False)
    monkeypatch.setattr(
        fixed_geometry, "blobs", lambda *_, traced_back: exact if traced_back else start
    )
    assert pipeline.main(["--toy", "--device", "cpu"]) == 1
    output = capsys.readouterr().out
    assert "WRONG" in output
    assert "ms" not in output


def test_files_and_cache_hold_the_same_volumes(tmp_path):
    pytest.importorskip("SimpleITK")
    options = pipeline.parser(None).parse_args([])
    options.slices, options.size, options.cases = 3, 16, 2
    bench = pipeline.Bench(tmp_path, options)
    assert len(bench.files) == 2
    for index, file in enumerate(bench.files):
        stored = 200 * torch.from_numpy(bench.prepared.volume(index)[:, 0].astype(np.float32))
        for read in (image_files.read_by_simpleitk, image_files.read_by_torchio):
            torch.testing.assert_close(read(file), stored.round(), rtol=0, atol=0)
    assert not np.array_equal(bench.prepared.volume(0), bench.prepared.volume(1))


def test_noise_is_packed_with_the_slices_that_each_volume_is_to_have(tmp_path):
    prepared = synthesised.pack_noise(tmp_path, [2, 5, 3], 8)
    volumes = [prepared.volume(index) for index in range(3)]
    assert [volume.shape for volume in volumes] == [(2, 1, 8, 8), (5, 1, 8, 8), (3, 1, 8, 8)]
    assert [case.slices for case in prepared.cases] == [2, 5, 3]
    # The standard errors over 320 normal draws: 0.056 of the mean, 0.040 of the deviation.
    assert abs(volumes[1].astype(float).mean()) < 0.2
    assert volumes[1].astype(float).std() == pytest.approx(1, abs=0.2)


@pytest.mark.slow
def test_a_warm_start_opens_and_dry_runs_a_prepared_data_set(tmp_path):
    written = tmp_path / "figures.json"
    command = ["--toy", "--device", "cpu", "--rounds", "1", "--json", str(written)]
    assert warm_start.main(command) == 0
    (table,) = json.loads(written.read_text())["tables"]
    assert list(table["candidates"]) == [
        "volbench",
        "volbench, pages forgotten",
        "volbench run --dry-run",
    ]
    steps = table["candidates"]["volbench"]
    whole = steps["seconds"][0]
    assert 0 < sum(steps[f"{step} s"] for step in warm_start.STEPS) < whole

"""Headers that contradict themselves: refused, or read as the data set says, by nibabel's word."""

import nibabel
import numpy as np
import pytest
from click.testing import CliRunner

from tests.helpers.volumes_on_disk import case, voxels
from volbench.cli.main import main
from volbench.data.preparation import prepare
from volbench.data.preprocessing.options import Preprocessing, with_settings
from volbench.data.reading import fingerprint, read_as, read_case
from volbench.datasets.manifest import Manifest
from volbench.errors import DataError, SpecError
from volbench.experiment.recipe import load_recipe

ARRAY = voxels(kind="<i2")
PIXDIM = (0.5, 0.75, 4.0)
TURNED = np.array([[0, -0.75, 0, 3], [0.5, 0, 0, 5], [0, 0, 4, 7], [0, 0, 0, 1]], float)


def nifti(path, *, sform=None, qform=None, pixdim=PIXDIM, array=ARRAY):
    made = nibabel.Nifti1Image(array.T, None)
    made.header["pixdim"][1:4] = pixdim
    made.header.set_sform(sform, code=0 if sform is None else 1)
    made.header.set_qform(qform, code=0 if qform is None else 1, strip_shears=False)
    if qform is None:
        made.header["pixdim"][1:4] = pixdim
    nibabel.save(made, path)
    return path


def cohort(folder, count=12):
    """Files with a unit sform beside a true pixdim, as a public cardiac set has them."""
    draw = np.random.default_rng(0)
    rows = []
    for number in range(count):
        array = draw.integers(0, 900, ARRAY.shape).astype("<i2")
        nifti(folder / f"v{number:02d}.nii.gz", sform=np.eye(4), array=array)
        rows.append(f"v{number:02d}.nii.gz,{'ab'[number % 2]},p{number}\n")
    path = folder / "m.csv"
    path.write_text("image,label,patient\n" + "".join(rows))
    return path


def test_two_spacings_are_refused_with_the_way_out(tmp_path):
    path = nifti(tmp_path / "a.nii", sform=np.eye(4))
    with pytest.raises(DataError, match=r"two spacings, 0\.5 x 0\.75 x 4 mm.*data\.geometry=sform"):
        read_case(case(path))


def test_the_transform_that_the_data_set_names_is_taken(tmp_path):
    path = nifti(tmp_path / "a.nii", sform=np.diag([1, 1, 2, 1]), qform=TURNED)
    stored = nibabel.load(path)
    for geometry, affine in (
        ("sform", stored.header.get_sform()),
        ("qform", stored.header.get_qform()),
        ("pixdim", np.diag([-0.5, -0.75, 4, 1])),
    ):
        scan = read_case(read_as(case(path), geometry))
        steps = sorted(np.linalg.norm(affine[:3, :3], axis=0))
        assert sorted(scan.spacing_mm) == pytest.approx(steps)
        placed = {
            tuple(np.round(affine[:3, :3] @ index + affine[:3, 3], 4)): ARRAY.T[index]
            for index in np.ndindex(ARRAY.T.shape)
        }
        for index in np.ndindex(scan.image[0].shape):
            where = tuple(np.round(scan.affine[:3, :3] @ index + scan.affine[:3, 3], 4) + 0.0)
            assert placed[where] == scan.image[0][index]


def test_a_transform_that_is_not_there_is_said(tmp_path):
    path = nifti(tmp_path / "a.nii", sform=np.diag([0.5, 0.75, 4, 1]))
    with pytest.raises(DataError, match="has no qform"):
        read_case(read_as(case(path), "qform"))


def test_the_geometry_counts_in_the_fingerprint_and_the_digest(tmp_path):
    path = nifti(tmp_path / "a.nii", sform=np.diag([0.5, 0.75, 4, 1]))
    one = case(path)
    assert len({fingerprint(read_as(one, how)) for how in ("auto", "sform", "pixdim")}) == 3
    manifest = cohort(tmp_path, 4)
    options = Preprocessing(size=16)
    with pytest.raises(DataError, match=r"the same of 3 more: .*v01.*v02.*v03"):
        prepare(manifest, options, root=tmp_path / "cache", jobs=1)
    digests = set()
    for settings in (["data.geometry=sform"], ["preprocessing.geometry=pixdim"]):
        chosen = with_settings(options, settings)
        prepared = prepare(manifest, chosen, root=tmp_path / "cache", jobs=1)
        digests.add(prepared.digest)
        assert prepared.preprocessing.geometry == chosen.geometry
    assert len(digests) == 2


def test_recipes_and_settings_take_it(tmp_path):
    path = tmp_path / "r.toml"
    path.write_text('base = "standard"\n[data]\ngeometry = "pixdim"\n')
    assert load_recipe(str(path)).preprocessing.geometry == "pixdim"
    assert load_recipe("standard", ("data.geometry=qform",)).preprocessing.geometry == "qform"
    assert "geometry" not in load_recipe("standard").model_dump_json()
    for wrong in ("data.geometry=affine", "data.spacing=1"):
        with pytest.raises(SpecError):
            load_recipe("standard", (wrong,))
        with pytest.raises(SpecError):
            with_settings(Preprocessing(), (wrong,))


def test_a_manifest_takes_it_as_an_option_and_as_a_column(tmp_path):
    nifti(tmp_path / "a.nii", sform=np.eye(4))
    nifti(tmp_path / "b.nii", sform=np.eye(4))
    path = tmp_path / "m.csv"
    path.write_text("image,label,patient,geometry\na.nii,x,p,sform\nb.nii,y,q,\n")
    first, second = Manifest(path=str(path), geometry="pixdim").cases()
    assert (first.source.geometry, second.source.geometry) == ("sform", "pixdim")
    assert not first.strata
    assert read_case(first).spacing_mm == pytest.approx((1, 1, 1))
    assert read_case(second).spacing_mm == pytest.approx((4, 0.75, 0.5))
    path.write_text("image,label,patient,geometry\na.nii,x,p,round\nb.nii,y,q,\n")
    assert Manifest(path=str(path)).cases()[0].strata == {"geometry": "round"}
    with pytest.raises(ValueError, match="geometry must be one of sform, qform, pixdim"):
        Manifest(path=str(path), geometry="affine")


def test_check_says_the_same_of_many_files_in_one_line(tmp_path):
    manifest = cohort(tmp_path)
    result = CliRunner().invoke(main, ["data", "check", str(manifest), "--jobs", "1"])
    assert result.exit_code != 0
    problems = [line for line in result.stdout.splitlines() if line.startswith("problem: ")]
    assert len(problems) == 1
    assert "v00.nii.gz: its header gives two spacings" in problems[0]
    assert "the same of 11 more: " in problems[0]
    assert "data.geometry=sform, qform or pixdim" in problems[0]
    told = ["data", "check", str(manifest), "--jobs", "1", "--set", "data.geometry=pixdim"]
    assert CliRunner().invoke(main, told).exit_code == 0


def test_check_refuses_what_a_run_would_refuse(tmp_path):
    manifest = cohort(tmp_path, 4)
    told = ["data", "check", str(manifest), "--jobs", "1", "--set", "data.geometry=pixdim"]
    lines = manifest.read_text().splitlines()
    mask = nifti(tmp_path / "mask.nii.gz", sform=np.eye(4), array=(ARRAY > 300).astype("<i2"))
    masks = [
        f"{line},{'mask' if not n else mask.name if n == 1 else ''}" for n, line in enumerate(lines)
    ]
    manifest.write_text("\n".join(masks) + "\n")
    assert "3 of 4 cases have no mask" in CliRunner().invoke(main, told).stdout
    assert CliRunner().invoke(main, [*told, "--set", "preprocessing.crop=none"]).exit_code == 0
    for folds, said in (
        (("train", "test", "maybe", "train"), "fold 'maybe' is neither"),
        (("test",) * 4, "none is left to train on"),
        (("train",) * 4, "holds nothing out"),
    ):
        rows = zip(lines, ("fold", *folds), strict=True)
        manifest.write_text("\n".join(f"{line},{fold}" for line, fold in rows) + "\n")
        assert said in CliRunner().invoke(main, told).stdout

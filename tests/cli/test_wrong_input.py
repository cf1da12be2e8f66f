"""What a person can get wrong on the command line: one line, the right exit code, nothing left."""

import gzip

import numpy as np
import pytest
import SimpleITK
from click.testing import CliRunner

from volbench.cli.main import main

USAGE, DATA, SPEC, STATE, STORAGE = 2, 3, 4, 5, 6
SMALL = "phantom(patients=12, size=16, slices=(3, 4))"


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    """Twelve sound volumes of two classes, broken ones, and manifests of each kind."""
    folder = tmp_path_factory.mktemp("volumes")
    rows = []
    for number in range(12):
        write_image(folder / f"{number}.nii.gz", seed=number)
        write_mask(folder / f"mask{number}.nii.gz")
        rows.append([f"{number}.nii.gz", "T2" if number % 2 else "T3", f"p{number}"])
    manifests = {
        "good": rows,
        "no_label": [[rows[0][0], "", "p0"], *rows[1:]],
        "missing_file": [["nowhere.nii.gz", "T2", "p0"], *rows[1:]],
        "one_class": [[row[0], "T2", row[2]] for row in rows],
        "twice": [rows[0], *rows],
        "mixed_labels": [[row[0], "1" if n % 2 else "1.0", row[2]] for n, row in enumerate(rows)],
        "ragged": [[*rows[0], "more"], *rows[1:]],
        "few": rows[:3],
    }
    for broken in ("truncated", "crc", "nan", "zero_spacing", "flat", "text", "two_d"):
        manifests[broken] = [[f"{broken}.nii.gz", "T2", "p0"], *rows[1:]]
    break_files(folder)
    for name, listed in manifests.items():
        lines = ["image,label,patient", *map(",".join, listed)]
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
    write_image(folder / "copy.nii.gz", seed=99)
    torn = [[*row, str(n % 3)] for n, row in enumerate(rows)] + [["copy.nii.gz", "T3", "p0", "1"]]
    lines = ["image,label,patient,fold", *map(",".join, torn)]
    (folder / "torn.csv").write_text("\n".join(lines))
    (folder / "no_header.csv").write_text("a,b,c\n1,2,3\n")
    (folder / "semicolons.csv").write_text("image;label;patient\n1;2;3\n")
    (folder / "empty.csv").write_text("")
    bad_mask = [f"{row[0]},{row[1]},{row[2]},mask{n}.nii.gz" for n, row in enumerate(rows)]
    bad_mask[4] = bad_mask[4].replace("mask4", "small_mask")
    write_mask(folder / "small_mask.nii.gz", shape=(3, 5, 5))
    (folder / "bad_mask.csv").write_text("\n".join(["image,label,patient,mask", *bad_mask]))
    far = [f"{row[0]},{row[1]},{row[2]},{9 if n == 5 else 1}" for n, row in enumerate(rows)]
    (folder / "far_slice.csv").write_text("\n".join(["image,label,patient,representative", *far]))
    (folder / "broken.toml").write_text("[training\n")
    (folder / "split.csv").write_text("case,fold\n0,0\n")
    np.savez(folder / "wrong.npz", images=np.zeros(3))
    return folder


def write_image(path, *, seed=0, shape=(3, 8, 8), spacing=(0.5, 0.5, 4.0)):
    voxels = np.random.default_rng(seed).normal(100, 20, shape).astype(np.float32)
    image = SimpleITK.GetImageFromArray(voxels)
    image.SetSpacing(spacing[: image.GetDimension()])
    SimpleITK.WriteImage(image, str(path))


def write_mask(path, shape=(3, 8, 8)):
    voxels = np.zeros(shape, np.uint8)
    voxels[1, 2:5, 2:5] = 1
    image = SimpleITK.GetImageFromArray(voxels)
    image.SetSpacing((0.5, 0.5, 4.0))
    SimpleITK.WriteImage(image, str(path))


def break_files(folder):
    write_image(folder / "sound.nii.gz", seed=50)
    packed = (folder / "sound.nii.gz").read_bytes()
    plain = bytearray(gzip.decompress(packed))

    def write(name, content):
        (folder / f"{name}.nii.gz").write_bytes(gzip.compress(bytes(content)))

    write("truncated", plain[:-100])
    (folder / "crc.nii.gz").write_bytes(packed[:-8] + b"\0\0\0\0" + packed[-4:])
    hole = bytearray(plain)
    hole[-4:] = np.float32(np.nan).tobytes()
    write("nan", hole)
    thin = bytearray(plain)
    thin[88:92] = np.float32(0).tobytes()  # pixdim[3]
    write("zero_spacing", thin)
    write("flat", plain[:352] + bytes(len(plain) - 352))
    (folder / "text.nii.gz").write_text("not an image")
    write_image(folder / "two_d.nii.gz", shape=(8, 8))


def run(*more, encoder="r2d(width=2)", agg="average", loss="focal", data=SMALL, folds="3"):
    given = {"--encoder": encoder, "--agg": agg, "--loss": loss, "--data": data, "--folds": folds}
    options = [part for pair in given.items() if pair[1] is not None for part in pair]
    return ["run", *options, "--device", "cpu", "--jobs", "1", *more]


def case(name, arguments, code, *words):
    return pytest.param(arguments, code, words, id=name)


def on(manifest):
    return f"{{volumes}}/{manifest}.csv"


WRONG = [
    case("unknown command", ["rnu"], USAGE, "No such command 'rnu'"),
    case("unknown option", ["run", "--encodre", "r2d"], USAGE, "--encodre"),
    case("no encoder", ["run", "--loss", "focal"], USAGE, "--encoder"),
    case("no aggregator", run(agg=None), USAGE, "--agg"),
    case("aggregator at slice level", run("--level", "slice"), USAGE, "leave --agg out"),
    case("folds no number", run(folds="ten"), USAGE, "--folds 'ten'"),
    case("one fold", run(folds="1"), USAGE, "at least 2"),
    case("fold not there", run("--fold", "7"), USAGE, "--fold 7", "0 to 2"),
    case("negative seed", run("--seed", "-1"), USAGE, "--seed"),
    case("name with a slash", run("--name", "a/b"), USAGE, "--name 'a/b'"),
    case("no such device", run("--device", "cuda:99"), USAGE, "cuda:99"),
    case("odd device", run("--device", "abacus"), USAGE, "abacus"),
    case("unknown encoder", run(encoder="rmc6"), SPEC, "Unknown encoder 'rmc6'", "'rmc5'"),
    case("unknown aggregator", run(agg="bilnear"), SPEC, "'bilnear'", "'bilinear'"),
    case("unknown loss", run(loss="focal+tripplet"), SPEC, "'tripplet'", "'triplet'"),
    case("unbalanced bracket", run(loss="focal(gamma=2"), SPEC, "focal(gamma=2"),
    case("positional argument", run(loss="focal(2)"), SPEC, "must be named"),
    case("unknown argument", run(loss="focal(gama=2)"), SPEC, "gama", "gamma"),
    case("argument out of range", run(loss="focal(gamma=-1)"), SPEC, "gamma"),
    case("argument of another kind", run(loss="focal(gamma='x')"), SPEC, "gamma"),
    case("code in a spec", run(loss="focal(gamma=__import__('os'))"), SPEC, "column"),
    case("negative weight", run(loss="-1*focal"), SPEC, "-1*focal"),
    case("unknown recipe", run("--recipe", "standrad"), SPEC, "Did you mean 'standard'"),
    case("recipe no TOML", run("--recipe", "{volumes}/broken.toml"), SPEC, "not valid TOML"),
    case("unknown key", run("--set", "training.epoch=3"), SPEC, "training.epoch"),
    case("value out of range", run("--set", "training.epochs=0"), SPEC, "training.epochs=0"),
    case("no key=value", run("--set", "epochs"), SPEC, "section.key=value"),
    case("unknown augmentation", run("--set", "training.augmentation=flop"), SPEC, "'flip'"),
    case("unknown timm model", run(encoder="timm(name='resnet19')"), SPEC, "resnet19"),
    case("unknown dataset", run(data="phantm"), SPEC, "phantm"),
    case("phantom out of range", run(data="phantom(patients=-3)"), SPEC, "patients"),
    case("no such manifest", run(data="nowhere.csv"), DATA, "nowhere.csv"),
    case("manifest without columns", run(data=on("no_header")), DATA, "no_header.csv", "image"),
    case("manifest with semicolons", run(data=on("semicolons")), DATA, "semicolon"),
    case("empty manifest", run(data=on("empty")), DATA, "empty.csv"),
    case("ragged manifest", run(data=on("ragged")), DATA, "ragged.csv"),
    case("empty label", run(data=on("no_label")), DATA, "label"),
    case("one class", run(data=on("one_class")), DATA, "class"),
    case("image twice", run(data=on("twice")), DATA, "twice.csv", "line 3"),
    case("mixed labels", run(data=on("mixed_labels")), DATA, "1.0"),
    case("missing image", run(data=on("missing_file")), DATA, "nowhere.nii.gz"),
    case("truncated image", run(data=on("truncated")), DATA, "truncated.nii.gz"),
    case("wrong checksum", run(data=on("crc")), DATA, "crc.nii.gz"),
    case("NaN voxel", run(data=on("nan")), DATA, "nan.nii.gz"),
    case("zero spacing", run(data=on("zero_spacing")), DATA, "zero_spacing.nii.gz"),
    case("constant image", run(data=on("flat")), DATA, "flat.nii.gz"),
    case("text as image", run(data=on("text")), DATA, "text.nii.gz"),
    case("2D image", run(data=on("two_d")), DATA, "two_d.nii.gz"),
    case("mask of another shape", run(data=on("bad_mask")), DATA, "small_mask.nii.gz"),
    case("slice out of range", run(data=on("far_slice")), DATA, "5", "9"),
    case("patient in two folds", run(data=on("torn"), folds="official"), DATA, "'p0'"),
    case("no split of its own", run(folds="official"), DATA, "no split of its own"),
    case("split of other cases", run(folds="{volumes}/split.csv"), DATA, "split.csv"),
    case("too few patients", run(data=on("few")), DATA, "one patient"),
    case("npz of something else", run(data="{volumes}/wrong.npz"), DATA, "wrong.npz"),
    case("slices unknown", run("--level", "slice", agg=None, data=on("good")), DATA, "--level"),
    case("check a broken one", ["data", "check", on("crc")], DATA, "crc.nii.gz"),
    case("describe nothing", ["data", "describe", "nowhere.csv"], DATA, "nowhere.csv"),
    case("compare nothing", ["compare", "nowhere"], USAGE, "nowhere does not exist"),
    case("compare no run", ["compare", "{volumes}"], USAGE, "holds no run"),
    case("info of nothing", ["info", "rmc6"], SPEC, "'rmc5'"),
    case("list of nothing", ["list", "gadgets"], USAGE, "gadgets"),
]


@pytest.mark.parametrize(("arguments", "code", "words"), WRONG)
def test_a_mistake_is_one_line_with_its_exit_code_and_leaves_nothing(
    volumes, tmp_path, monkeypatch, arguments, code, words
):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(
        main, [part.replace("{volumes}", str(volumes)) for part in arguments]
    )
    said = [line for line in result.stderr.splitlines() if not line.startswith("preparing")]
    assert result.exit_code == code, (result.exit_code, result.output, result.exception)
    text = "\n".join([*said, result.stdout]) if arguments[0] == "data" else "\n".join(said)
    for word in words:
        assert word in text
    assert "Traceback" not in result.output
    if arguments[:2] != ["data", "check"]:
        assert len(said) == 1
    assert list(tmp_path.iterdir()) == []


def test_there_are_thirty_mistakes_or_more():
    assert len(WRONG) >= 30


def test_after_every_mistake_the_sound_data_still_runs(volumes, tmp_path):
    arguments = run(
        "--set", "training.epochs=1", "--out", str(tmp_path), data=str(volumes / "good.csv")
    )
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output

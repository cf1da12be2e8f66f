"""Malformed inputs: one line that names the file, the right exit code, soon, in little memory.

Made by seeded mutation of sound ones; each is read by the command line in a forked child.
"""

import os
import shutil
from collections import Counter

import numpy as np
import pytest

from tests.faults.children import in_child
from tests.faults.malformed import inputs
from tests.faults.odd_files import Stored, classic, enhanced
from tests.faults.test_stopped import PART, PARTS
from tests.faults.tiny_run import TINY
from tests.helpers.volumes_on_disk import image, voxels, write
from volbench.cli.main import main
from volbench.crossval import make_plan, run

QUICK, MANY = 16, int(os.environ.get("VOLBENCH_MALFORMED", "400"))
SECONDS, MEGABYTES, LIMIT_S = 5.0, 1000.0, 240.0
KINDS = ("nii", "nii.gz", "nrrd", "mha")
STORED = Stored(12, signed=False, slope=2.0, intercept=-1024.0)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Sound files of every kind, and a finished run."""
    folder = tmp_path_factory.mktemp("malformed") / "sound"
    (folder / "volumes").mkdir(parents=True)
    draw = np.random.default_rng(0)
    for kind in KINDS:
        rows = []
        for number in range(8):
            array = (voxels(kind="<f4") + draw.normal(size=voxels().shape) * 99).astype("<f4")
            write(folder / "volumes" / f"{number}.{kind}", image(array))
            rows.append(f"volumes/{number}.{kind},{'ab'[number % 2]},p{number}\n")
        (folder / f"{kind}.csv").write_text("image,label,patient\n" + "".join(rows))
    for kind, syntax in (("plain", "implicit"), ("rle", "RLE"), ("j2k", "JPEG 2000")):
        _series(folder, kind, lambda place, at, s=syntax: classic(place, at, s, STORED))
    _series(
        folder, "frames", lambda place, at: enhanced(place, at, "explicit", STORED, alone=False)
    )
    (folder / "sound.csv").write_text(
        "image,label,patient,site,representative\n"
        + "".join(
            f"volumes/{n}.nii.gz,{'ab'[n % 2]},p{n},{'xyz'[n % 3]},{n % 3}\n" for n in range(8)
        )
    )
    (folder / "recipe.toml").write_text(
        'base = "standard"\n[training]\nepochs = 3\nbatch_size = 4\n[optimizer]\nname = "sgd"\n'
        'lr = 0.01\n[preprocessing]\nsize = 16\nnormalize = "zscore"\n'
    )
    (folder / "suite.toml").write_text(
        'title = "S"\ndata = "sound.csv"\nfolds = 2\nset = ["training.epochs=1"]\n[[table]]\n'
        'title = "T"\nencoder = ["r2d(width=2)"]\naggregator = "max"\nloss = "focal"\n'
    )
    (folder / "split.csv").write_text(
        "case,fold\n" + "".join(f"{n},{n // 2 % 3}\n" for n in range(8))
    )
    plan = make_plan(**TINY, data=str(folder / "sound.csv"))
    assert not run(plan, out=folder / "runs", name="run", jobs=1).failed
    return folder


def _series(folder, kind, make):
    rows = []
    for number in range(2):
        place = folder / "dicom" / kind / "made"
        place.mkdir(parents=True)
        made, *_ = make(place, number + 20)
        made.rename(folder / "dicom" / kind / str(number))
        place.rmdir()
        rows.append(f"dicom/{kind}/{number},{'ab'[number]},p{number}\n")
    (folder / f"{kind}.csv").write_text("image,label,patient\n" + "".join(rows))


def read(one, folder):
    """Write an input and give it to the command line."""
    os.chdir(folder)
    (folder / one.path).write_bytes(one.content)
    main(list(one.arguments))


def judge(one, ending):
    """What is wrong with how reading an input ended."""
    said = ending.errors.splitlines()
    if ending.code not in one.codes:
        return f"exit code {ending.code}"
    if "Traceback" in ending.errors + ending.output:
        return "a traceback"
    if ending.code and not (said and said[-1].startswith("volbench: ")):
        return "no line that says why"
    if ending.code and sum(line.startswith("volbench: ") for line in said) > 4:
        return f"{len(said)} lines"
    if any(not (text.isprintable() or text in "\n\t") for text in ending.output + ending.errors):
        return "control characters"
    if ending.seconds > SECONDS:
        return f"{ending.seconds:.1f} s"
    return f"{ending.peak_mb:.0f} MB" if ending.peak_mb > MEGABYTES else None


def campaign(sound, tmp_path, count, seed):
    counts, wrong = Counter(), []
    stream = inputs(sound, seed)
    for _ in range(count):
        one = next(stream)
        folder = tmp_path / "copy"
        shutil.copytree(sound, folder)
        ending = in_child(lambda o=one, f=folder: read(o, f), tmp_path / "said", limit_s=LIMIT_S)
        shutil.rmtree(folder)
        counts[ending.code] += 1
        if fault := judge(one, ending):
            said = (ending.errors.strip().splitlines() or [""])[-1]
            wrong.append(f"{one.name} ({' '.join(one.arguments)[:200]!r}): {fault}: {said[:300]}")
    told = ", ".join(f"{number} ended with {code}" for code, number in sorted(counts.items()))
    print(f"\nmalformed inputs: {count}; {told}; wrong: {len(wrong)}")
    assert not wrong, "\n".join(wrong[:40])


def test_a_malformed_input_is_one_line_and_the_right_exit_code(sound, tmp_path):
    campaign(sound, tmp_path, QUICK, 0)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_hundreds_of_malformed_inputs_are_one_line_each(sound, tmp_path):
    campaign(sound, tmp_path, MANY // PARTS, 1 + PART)


def test_a_sound_input_is_read(sound, tmp_path):
    shutil.copytree(sound, tmp_path / "copy")
    for arguments in (
        *((["data", "check", f"{kind}.csv", "--jobs", "1"]) for kind in KINDS),
        ["compare", "runs"],
        ["suite", "run", "suite.toml", "--dry-run"],
    ):

        def work(arguments=arguments):
            os.chdir(tmp_path / "copy")
            main(arguments)

        ending = in_child(work, tmp_path / "said")
        assert ending.code == 0, (arguments, ending)

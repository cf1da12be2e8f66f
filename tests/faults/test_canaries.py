"""What a scanner writes of a patient, in over a hundred fields of headers: in no output."""

import os
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from click.testing import CliRunner
from pydicom._dicom_dict import DicomDictionary

from tests.faults.tiny_run import TINY
from tests.helpers.volumes_on_disk import write_series
from volbench.cli.main import main

TEXTS = {"PN", "LO", "SH", "LT", "ST", "UT"}
pytestmark = pytest.mark.slow  # nine commands on twelve volumes
GROUPS = {0x0008, 0x0010, 0x0032, 0x0038, 0x0040, 0x4000, 0x4008}
"""Studies, patients, requests, visits, procedures, comments and results."""
FIELDS = 120
HEADERS = ("descrip", "intent_name", "aux_file", "db_name")


def dicom_fields():
    """Fields of text, with a canary each; those about people first."""
    known = [
        entry[4]
        for tag, entry in DicomDictionary.items()
        if tag >> 16 in GROUPS and entry[0] in TEXTS and entry[1] == "1" and entry[4]
    ]
    people = ("Patient", "Physician", "Name", "Institution", "Address", "Comments", "Description")
    known.sort(key=lambda name: (not any(word in name for word in people), name))
    return {keyword: f"Kanarie{number:03d}" for number, keyword in enumerate(known[:FIELDS])}


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """All files and words of every command, on volumes full of canaries."""
    folder = tmp_path_factory.mktemp("canaries")
    fields = dicom_fields()
    canaries = list(fields.values())

    def mark(number, made):
        for keyword, canary in fields.items():
            setattr(made, keyword, canary)
        block = made.private_block(0x0011, "VOLBENCH TEST", create=True)
        block.add_new(1, "LO", "KanariePrivate")
        noise = np.random.default_rng((case, number)).integers(0, 900, (12, 10))
        made.PixelData = noise.astype("<u2").tobytes()
        return made

    for case in range(6):
        write_series(folder / f"s{case}", change=mark)
    for case in range(6, 12):
        array = np.random.default_rng(case).normal(size=(10, 12, 6)).astype(np.float32)
        made = nibabel.Nifti1Image(array, np.diag([0.5, 0.6, 3.0, 1.0]))
        for place, name in enumerate(HEADERS):
            made.header[name] = f"KanNii{place}".encode()
        made.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"KanExtension"))
        nibabel.save(made, folder / f"s{case}.nii.gz")
    canaries += ["KanariePrivate", "KanExtension", *(f"KanNii{n}" for n in range(len(HEADERS)))]
    lines = [f"s{n}{'' if n < 6 else '.nii.gz'},{'ab'[n % 2]},p{n}" for n in range(12)]
    (folder / "m.csv").write_text("\n".join(["image,label,patient", *lines, ""]))
    return canaries, said_and_written(folder)


def said_and_written(folder: Path) -> dict[str, bytes]:
    out, before = folder / "out", os.environ["VOLBENCH_CACHE"]
    out.mkdir()
    os.environ["VOLBENCH_CACHE"] = str(out / "cache")
    overrides = [word for text in TINY["overrides"] for word in ("--set", text)]
    run = ["run", "--encoder", TINY["encoder"], "--agg", "max", "--loss", "focal", "--folds", "2"]
    data = str(folder / "m.csv")
    commands = [
        ["-vv", "data", "check", data, "--jobs", "1"],
        ["data", "describe", data],
        ["data", "audit", data, "--folds", "2"],
        ["data", "prepare", data],
        [*run, "--data", data, "--out", str(out), "--name", "run", "--jobs", "1", *overrides],
        ["compare", str(out / "run"), "--format", "json"],
        ["report", str(out / "run"), "--output", str(out / "page.html")],
        ["report", str(out / "run"), "--card", "--output", str(out / "card.md")],
        ["predict", str(out / "run"), data, "--output", str(out / "predicted.json")],
    ]
    found = {}
    for words in commands:
        words = words[1:] + words[:1] if words[0].startswith("-") else words
        done = CliRunner().invoke(main, words)
        found[" ".join(words)] = (done.stdout + done.stderr + str(done.exception)).encode()
        assert done.exit_code == 0, (words, done.stderr, done.exception)
    os.environ["VOLBENCH_CACHE"] = before
    return found | {str(path): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_no_canary_is_in_any_output(outputs):
    canaries, found = outputs
    sung = [(name, one) for name, text in found.items() for one in canaries if one.encode() in text]
    print(f"\ncanaries: {len(canaries)}, {len(found)} outputs looked at, found: {len(sung)}")
    assert len(canaries) >= 98
    assert len(found) > 40
    assert not sung, sung[:5]


def test_a_canary_would_be_found(outputs, tmp_path):
    canaries, _ = outputs
    write_series(tmp_path / "s", change=lambda number, made: made)
    made = pydicom.dcmread(next((tmp_path / "s").iterdir()))
    made.PatientName = canaries[0]
    made.save_as(tmp_path / "one.dcm")
    assert canaries[0].encode() in (tmp_path / "one.dcm").read_bytes()

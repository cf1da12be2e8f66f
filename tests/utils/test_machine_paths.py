"""Paths of this machine are relative in a run's folder and short in what is shared."""

import os

import pytest

from volbench._utils.machine_paths import relative_paths, short_paths


def test_paths_of_a_command_are_written_from_the_working_directory_on(tmp_path, monkeypatch):
    (tmp_path / "study").mkdir()
    monkeypatch.chdir(tmp_path / "study")
    for given, expected in {
        f"{tmp_path}/data/m.csv": "../data/m.csv",
        f"--data={tmp_path}/data/m.csv": "--data=../data/m.csv",
        f"manifest(path='{tmp_path}/study/m.csv', plane='axial')": (
            "manifest(path='m.csv', plane='axial')"
        ),
        "data/m.csv": "data/m.csv",
        "../m.csv": "../m.csv",
        "/nowhere-at-all/m.csv": "/nowhere-at-all/m.csv",
        "focal+0.5*triplet(margin=0.2)": "focal+0.5*triplet(margin=0.2)",
        "https://example.org/tmp/x/y": "https://example.org/tmp/x/y",
        "1/2/3": "1/2/3",
    }.items():
        assert relative_paths(given) == expected
    assert os.path.samefile(relative_paths(str(tmp_path)), tmp_path)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("/mnt/ward/study/m.csv", "…/study/m.csv"),
        ("cannot read ../../mnt/study/m.csv: no", "cannot read …/study/m.csv: no"),
        (r"/mnt/wa\_rd/st\_udy/m.csv", r"…/st\_udy/m.csv"),
        ("<td>/mnt/ward/study/m.csv</td>", "<td>…/study/m.csv</td>"),
        ("data:image/png;base64,iVBOR/abc/def/ghi+/jkl/mno/pqr==", None),
        ("https://doi.org/10.1118/1.3528204/x/y", None),
        ("and/or/not", None),
        ("/m.csv", None),
        ("</section></div></body>", None),
    ],
)
def test_of_a_long_path_two_names_are_left(given, expected):
    assert short_paths(given) == (given if expected is None else expected)

"""`volbench data show`: what a person sees of a case."""

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from tests.helpers.subjects import cohort
from volbench.cli.data import command as data_commands
from volbench.data.montage import BOX, OUTLINE, draw, views
from volbench.data.preparation.prepare_data import prepare
from volbench.data.preprocessing.options import Preprocessing

DATA = 'torchio(source="tests.helpers.subjects:cohort")'


def colours(image):
    return set(map(tuple, np.asarray(image).reshape(-1, 3)))


def test_a_case_is_drawn_as_read_and_as_prepared_with_box_and_outline():
    (view,) = views(DATA, Preprocessing(size=16, crop="roi"), names=("p1",))
    read, after = view.strips
    assert (view.name, view.label) == ("p1", "malignant")
    assert "5 axial slices of 18 x 20, 4 mm apart, pixels 0.5 x 0.5 mm" in read.title
    assert "5 axial slices of 16 x 16" in after.title
    assert read.box is not None
    assert {BOX, OUTLINE} <= colours(draw(view))


def test_a_prepared_folder_shows_what_the_network_sees(tmp_path):
    folder = prepare(cohort(), Preprocessing(size=16), root=tmp_path, jobs=1).folder
    (view,) = views(str(folder), Preprocessing())
    (strip,) = view.strips
    assert strip.slices.shape == (5, 16, 16)
    assert OUTLINE in colours(draw(view))


def test_the_command_writes_a_picture_and_a_page(tmp_path):
    output = tmp_path / "seen.png"
    done = CliRunner().invoke(
        data_commands, ["show", DATA, "--montage", "--output", str(output),
              "--set", "preprocessing.size=16"]
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert done.output == f"wrote {output} and {tmp_path / 'seen.html'}: 8 cases\n"
    with Image.open(output) as image:
        assert image.height > 8 * 2 * 100
    page = (tmp_path / "seen.html").read_text()
    assert page.count("<img") == 8
    assert "p1: malignant" in page


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--case", "p11"], "no such case; did you mean 'p1'?"),
        (["--output", "x.jpg"], "give a file ending in .png"),
    ],
)
def test_what_cannot_be_shown_is_said(options, said):
    done = CliRunner().invoke(data_commands, ["show", DATA, *options])
    assert done.exception is not None
    assert said in str(done.exception) + done.output


RECIPE = 'base = "standard"\n[preprocessing]\ncrop = "roi"\nsize = 24\n[training]\nepochs = 1\n'


@pytest.fixture
def shown(monkeypatch):
    """The options by which volumes were drawn."""
    used = []

    def spied(data, options, **others):
        used.append(options)
        return views(data, options, **others)

    monkeypatch.setattr("volbench.data.montage.views", spied)
    return used


@pytest.mark.parametrize("command", ["show", "check", "prepare", "audit", "describe"])
def test_a_recipe_written_for_a_run_is_taken_wherever_volumes_are_prepared(
    tmp_path, monkeypatch, command, shown
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ct.toml").write_text(RECIPE)
    more = ["--folds", "2"] if command == "audit" else []
    done = CliRunner().invoke(data_commands, [command, DATA, "--recipe", "ct.toml", *more])
    assert done.exit_code == 0, done.output
    if command == "prepare":
        assert "size=24, crop=roi" in done.output
    if command == "show":
        assert [(one.size, one.crop) for one in shown] == [(24, "roi")]
    if command == "check":
        assert f"volbench data show '{DATA}' --recipe ct.toml" in done.output


def test_set_has_the_last_word_over_a_recipe(tmp_path, monkeypatch, shown):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ct.toml").write_text(RECIPE)
    words = ["show", DATA, "--recipe", "ct.toml", "--set", "preprocessing.size=12"]
    assert CliRunner().invoke(data_commands, words).exit_code == 0
    assert [(one.size, one.crop) for one in shown] == [(12, "roi")]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["show", "--set", "training.epochs=3"], "only keys of preprocessing count"),
        (["describe", "--set", "preprocessing.size=3"], "only data.geometry counts"),
        (["check", "--recipe", "standrad"], "Did you mean 'standard'?"),
    ],
)
def test_a_setting_that_does_nothing_is_refused(words, said):
    done = CliRunner().invoke(data_commands, [words[0], DATA, *words[1:]])
    assert done.exit_code != 0
    assert said in str(done.exception) or said in done.output

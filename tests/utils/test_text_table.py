"""Tables of text fit their width, whatever stands in them, and no word is cut that need not be."""

import re

import pytest

from volbench._utils.text_table import Column, cells, draw_table, fold, output_width

SPEC = "timm(name='resnet18.a1_in1k', pretrained=False, weights='r18.safetensors@sha256:0f4')"
WIDE = [
    Column("encoder", [SPEC, "rmc5(width=8)"], lead=True),
    Column("loss", ["focal(gamma=2)+0.5*triplet(margin=0.2)", "focal"], lead=True),
    *(Column(f"metric {n}", [f"0.{n}23±.045", "0.5"], "number") for n in range(6)),
    Column("GB", ["1.2", "0.3"], "number", spare=1),
]


@pytest.mark.parametrize("width", [40, 60, 79, 80, 100, 120, 160, 300])
def test_no_line_is_wider_than_the_output_and_no_number_is_folded(width):
    text, left_out = draw_table(WIDE, width)
    assert max(map(cells, text.splitlines())) <= width
    for n in range(6):
        assert f"0.{n}23±.045" in text
    assert ("1.2" in text) != ("GB" in left_out)
    assert not re.search(r"resn$|tripl$|safeten$", text, re.MULTILINE)


def test_what_can_be_spared_goes_first_and_is_named():
    columns = [
        Column("name", ["a" * 20], "word"),
        Column("AUC", ["0.8"], "number"),
        Column("MB", ["123456789"], "number", spare=2),
        Column("s", ["123456789"], "number", spare=1),
    ]
    assert draw_table(columns, 80)[1] == ""
    assert draw_table(columns, 40)[1] == "MB"
    text, left_out = draw_table(columns, 30)
    assert left_out == "MB, s"
    assert "0.8" in text


def test_a_table_that_cannot_fit_goes_on_beneath_and_says_which_row_is_which():
    text, left_out = draw_table(WIDE[:-1], 48)
    assert left_out == ""
    tables = text.split("\n\n")
    assert len(tables) > 1
    assert all(re.search(r"^line|^encoder", table, re.MULTILINE) for table in tables)


@pytest.mark.parametrize("text", [SPEC, "one two  three", "層の厚い体積データ", "x" * 90, ""])
def test_folding_loses_nothing(text):
    for width in (4, 12, 30):
        lines = fold(text, width)
        assert max(map(cells, lines)) <= width
        assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_the_width_is_of_the_environment_else_a_hundred_in_a_pipe(monkeypatch):
    monkeypatch.setenv("COLUMNS", "77")
    assert output_width() == 77
    monkeypatch.setenv("COLUMNS", "0")
    assert output_width() == 100
    monkeypatch.delenv("COLUMNS")
    assert output_width() == 100


def test_a_heading_of_one_long_word_is_not_cut():
    text, _ = draw_table([Column("augmentations", ["a"]), Column("n", ["1"], "number")], 40)
    assert text.splitlines()[0] == "augmentations  n"

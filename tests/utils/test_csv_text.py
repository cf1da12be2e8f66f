"""What is written to CSV reads back, whatever it holds; no spreadsheet computes it."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from volbench._utils.csv_text import FORMULA, csv_lines, csv_records, csv_text
from volbench._utils.text import printable
from volbench.runs.predictions_file import Prediction, predictions_csv, read_predictions

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)


@settings(max_examples=300, deadline=None)
@example([["a\rb", "'=1", "''+x", " =2", "=cmd|' /C calc'!A0", "-3", "\n", '"', "'"]])
@given(st.lists(st.lists(TEXT, min_size=2, max_size=4), min_size=1, max_size=4))
def test_every_text_reads_back_and_none_is_a_formula(rows):
    written = csv_text(rows)
    assert csv_lines(written) == rows
    import csv
    import io

    for line in csv.reader(io.StringIO(written, newline="")):
        for cell in line:
            assert not cell.lstrip(" ").startswith(FORMULA) or _is_number(cell)


def _is_number(cell):
    try:
        float(cell)
    except ValueError:
        return False
    return True


@settings(max_examples=200, deadline=None)
@given(TEXT, TEXT, TEXT)
def test_predictions_read_back_for_every_name(case, patient, label):
    rows = [Prediction(case, patient, label, 0, None, (0.25, 0.75))]
    read, classes = read_predictions(predictions_csv(rows, [label, f"not {label}"]))
    assert read == rows
    assert classes == (label, f"not {label}")


@pytest.mark.parametrize(("row", "cells"), [("a", 1), ("a,0,1", 3)])
def test_a_row_of_another_length_than_the_header_is_no_table(row, cells):
    text = f"case,fold\n{row}\n"
    with pytest.raises(ValueError, match=f"row 2 has {cells} cells, not 2"):
        csv_records(text)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=10))
def test_no_control_character_is_shown_raw(text):
    shown = printable(text)
    shown.encode("utf-8")
    assert printable(shown) == shown
    assert not any(ord(one) < 32 or 0x7F <= ord(one) < 0xA0 for one in shown)

"""What an output's encoding lacks is written with plain signs, so that a table stays a table."""

import os
import subprocess
import sys

import pytest

from volbench._utils.plain_signs import HANDLER


@pytest.mark.parametrize(
    ("text", "encoding", "written"),
    [
        ("───", "cp1252", b"---"),
        ("0.8±.1†", "cp1252", "0.8±.1†".encode("cp1252")),
        ("0.8±.1†", "ascii", b"0.8+/-.1+"),
        ("a → b…", "ascii", b"a -> b..."),
        ("K\u00f6ln \u4e2d", "ascii", b"K\\xf6ln \\u4e2d"),
    ],
)
def test_signs_are_replaced_only_where_the_encoding_lacks_them(text, encoding, written):
    assert text.encode(encoding, HANDLER) == written


def test_what_cannot_be_decoded_is_still_an_error():
    with pytest.raises(UnicodeDecodeError):
        b"\xff".decode("utf-8", HANDLER)


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1"])
def test_a_table_in_a_pipe_of_windows_holds_no_escapes(encoding):
    done = subprocess.run(
        [sys.executable, "-m", "volbench", "list", "trackers"],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding, "COLUMNS": "80"},
        check=True,
    )
    assert b"-" * 40 in done.stdout
    assert b"\\u" not in done.stdout

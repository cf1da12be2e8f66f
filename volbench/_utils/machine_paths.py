"""Paths of this machine, kept out of what is passed on.

A run's folder holds paths that are relative to where it was started, so that it can be moved with
its data; a report or a card, which is read by others, holds the last two names of a path at most.
"""

import os
import re

_NAME = r"[^\s/\\'\"()<>|,;:&=*?\x00-\x1f]+"
ABSOLUTE = re.compile(rf"(?<![\w./\\~)\]-])/(?:{_NAME}/)*{_NAME}")
"""A path from the root on, in a command, a spec or a message."""

_SHOWN = _NAME.replace(r"\\", "")
LONG = re.compile(rf"(?<![\w./\\~+=)\]-])(?:/|(?:\.\./)+|~/)(?:{_SHOWN}/)+({_SHOWN}/{_SHOWN})")
"""A path that leaves its folder, and has more than two names; Markdown may have escaped them."""


def relative_paths(text: str) -> str:
    """Write every absolute path of this machine in a text from the working directory on.

    >>> relative_paths(f"manifest(path='{os.getcwd()}/m.csv')")
    "manifest(path='m.csv')"
    """

    def relative(found: re.Match[str]) -> str:
        path = found[0]
        top = "/" + path.split("/")[1]
        # "/2" may be a number of something; a path begins in a folder that there is.
        return os.path.relpath(path) if path != top and os.path.isdir(top) else path

    return ABSOLUTE.sub(relative, text)


def short_paths(text: str) -> str:
    """Leave of every path that begins elsewhere its last two names.

    >>> short_paths("cannot read /mnt/ward/study/m.csv, nor https://example.org/a/b/c")
    'cannot read …/study/m.csv, nor https://example.org/a/b/c'
    """
    return LONG.sub(lambda found: f"…/{found[1]}", text)

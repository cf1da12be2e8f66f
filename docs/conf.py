"""How Sphinx builds the manual."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from volbench import __version__

project = "volbench"
author = "The volbench developers"
copyright = author
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.mathjax", "components"]
myst_enable_extensions = ["dollarmath", "amsmath", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]

html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["wide-tables.css"]
html_title = f"volbench {version}"

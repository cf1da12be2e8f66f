"""Run every command of docs/how-to/evidence.md, in its order, and draw its pictures anew.

    python docs/make_evidence.py FOLDER [--nodules FOLDER] [--from HEADING] [--pictures]

Everything is written to FOLDER; `--from` goes on there with a later part, and finished folds are
kept. The page is the script: its commands are read from it, so that neither can say what the other
does not. The last part needs the
LIDC crops with their manifest (`--nodules`) and is left out without them. The made-up cohort takes
about ten minutes of one core, the nodules three. Pictures are taken with Chromium, if it is there.
"""

import argparse
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from make_gallery import BROWSERS, photograph, save

PAGE = Path(__file__).parent / "how-to" / "evidence.md"
NEEDED = "$NODULES"
"""A part whose commands name it needs that data set."""
SHOTS = {
    "evidence-external": ("report.html", "external1", 860),
    "evidence-clinical": ("report.html", "s1-clinical", 2400),
    "evidence-patients": ("shares.html", "s1-patients", 500),
    "evidence-nodules": ("nodules/report.html", "s1-clinical", 2400),
}
"""Of each picture: the report it is from, the anchor of its part, and a height that has it all."""


@dataclass(frozen=True)
class Step:
    """What a part of the page has a reader do.

    Attributes:
        heading: Of the part.
        lines: Of a shell; a file that the page shows is written by them.
    """

    heading: str
    lines: tuple[str, ...]


def steps(page: str) -> Iterator[Step]:
    """The commands of a page, part by part, and the files that it shows in between."""
    for each in re.split(r"^## ", page, flags=re.MULTILINE):
        heading, _, text = each.partition("\n")
        lines: list[str] = []
        for block in re.finditer(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            if block[1] == "console":
                lines += [line[2:] for line in block[2].splitlines() if line.startswith("$ ")]
            elif block[1] == "toml":
                name = re.findall(r"`([\w-]+\.toml)`", text[: block.start()])[-1]
                lines.append(f"cat > {name} <<'END'\n{block[2]}END")
        if lines:
            yield Step(heading, tuple(lines))


def script(chosen: list[Step], first: str = "") -> str:
    """All of them as one script, which says what it does and stops at the first that fails.

    Of the parts before ``first`` only what they set is kept: later commands use it.
    """
    headings = [step.heading for step in chosen]
    start = headings.index(first) if first else 0
    before = [line for step in chosen[:start] for line in step.lines]
    lines = ["set -e", *(line for line in before if re.match("[A-Z]+=", line))]
    for step in chosen[start:]:
        lines += [f"echo {shlex.quote('## ' + step.heading)}", *step.lines]
    return "\n".join(lines)


def run(chosen: list[Step], folder: Path, nodules: Path | None, first: str = "") -> None:
    """Run them in the folder, by the volbench of this Python."""
    folder.mkdir(parents=True, exist_ok=True)
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    variables = {"PATH": path, "NODULES": str(nodules), "COLUMNS": "100", "HOME": str(Path.home())}
    subprocess.run(["bash", "-c", script(chosen, first)], cwd=folder, env=variables, check=True)


def part(page: str, anchor: str) -> str:
    """A part of a report, from its heading or paragraph to the next heading; a section whole."""
    head = page[: page.index("<body")]
    inside = re.search(
        rf'<(?:h3|p) id="{anchor}">.*?(?=<h3 id=|</section>)|<section id="{anchor}">.*?</section>',
        page,
        re.DOTALL,
    )
    if inside is None:
        raise SystemExit(f"the report has no part {anchor}")
    return f"{head}<body><main>{inside[0]}</main></body></html>"


def draw(folder: Path) -> None:
    """Take the pictures of the reports that are there."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        print("no Chromium on the PATH: no picture was taken", file=sys.stderr)
        return
    for name, (report, anchor, height) in SHOTS.items():
        if (folder / report).is_file():
            shown = folder / f"{name}.html"
            shown.write_text(part((folder / report).read_text("utf-8"), anchor), encoding="utf-8")
            save(photograph(browser, shown, height), name)


def main() -> None:
    """Run the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--nodules", type=Path, help="folder of the LIDC crops")
    parser.add_argument("--from", dest="first", default="", help="heading to begin with")
    parser.add_argument("--pictures", action="store_true", help="draw only")
    options = parser.parse_args()
    nodules = options.nodules and options.nodules.resolve()
    chosen = [
        step
        for step in steps(PAGE.read_text(encoding="utf-8"))
        if nodules or NEEDED not in "".join(step.lines)
    ]
    names = [step.heading for step in chosen]
    if options.first and options.first not in names:
        parser.error(f"no part {options.first!r}; there are {', '.join(map(repr, names))}")
    if not options.pictures:
        run(chosen, options.folder, nodules, options.first)
    draw(options.folder)


if __name__ == "__main__":
    main()

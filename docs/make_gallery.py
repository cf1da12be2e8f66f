"""Draw the pictures of docs/gallery.md from two short runs on the built-in phantom.

    python docs/make_gallery.py

Takes a minute or two on two cores. Pages are photographed with Chromium, if it is on the PATH;
without it only the figures of ``volbench.plot`` are drawn.
"""

import io
import re
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib
from PIL import Image, ImageChops

matplotlib.use("Agg")

import volbench
from volbench import plot
from volbench.report import make_report

IMAGES = Path(__file__).parent / "images"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CANDIDATES = {"rmc5": "bilinear", "r2d": "average"}
SAME = {
    "loss": "focal",
    "data": "phantom(patients=36, size=32, slices=8)",
    "folds": 3,
    "jobs": 1,
    "overrides": ["training.epochs=6", "training.batch_size=8"],
}
SECTIONS = {"leaderboard": 900, "roc": 760, "explained": 1500}
"""Parts of the report, by their anchors, with the height that is looked at."""


def main() -> None:
    with TemporaryDirectory() as name:
        out = Path(name)
        for encoder, aggregator in CANDIDATES.items():
            volbench.run(
                encoder=f"{encoder}(width=8)", aggregator=aggregator, out=out / "runs", **SAME
            )
        runs = volbench.load_runs(out / "runs")
        for draw in (plot.leaderboard, plot.roc, plot.calibration):
            picture = io.BytesIO()
            draw(runs).figure.savefig(picture, dpi=110)
            save(Image.open(picture), f"gallery-plot-{draw.__name__}")
        browser = next(filter(None, map(shutil.which, BROWSERS)), None)
        if browser is None:
            print("no Chromium on the PATH: the report was not photographed", file=sys.stderr)
            return
        page = make_report(runs.loaded)
        for anchor, height in SECTIONS.items():
            (out / "part.html").write_text(part(page, anchor), encoding="utf-8")
            save(photograph(browser, out / "part.html", height), f"gallery-report-{anchor}")


def part(page: str, anchor: str) -> str:
    """One section of the report with the style of the page, open where it can be folded."""
    head = page[: page.index("<body")]
    inside = re.search(rf'<h3 id="s1-{anchor}">.*?(?=<h3 id=|</section>)', page, re.DOTALL)
    assert inside is not None
    return f"{head}<body><main>{inside[0]}</main></body></html>"


def photograph(browser: str, page: Path, height: int) -> Image.Image:
    picture = page.with_suffix(".png")
    options = ["--headless", "--no-sandbox", "--hide-scrollbars", "--disable-gpu"]
    options += [f"--window-size=1000,{height}", f"--screenshot={picture}", page.as_uri()]
    subprocess.run([browser, *options], check=True, capture_output=True, timeout=120)
    return Image.open(picture)


def save(picture: Image.Image, name: str) -> None:
    """Cut the empty margin off, and keep the file small."""
    plain = picture.convert("RGB")
    empty = Image.new("RGB", plain.size, plain.getpixel((0, 0)))
    left, top, right, bottom = ImageChops.difference(plain, empty).getbbox() or (0, 0, *plain.size)
    edge = 12
    box = max(left - edge, 0), max(top - edge, 0), min(right + edge, plain.width)
    plain = plain.crop((*box, min(bottom + edge, plain.height)))
    plain.save(IMAGES / f"{name}.webp", quality=82, method=6)


if __name__ == "__main__":
    main()

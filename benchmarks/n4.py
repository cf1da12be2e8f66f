"""Measure N4: seconds per shrink factor, and how far each field is from the one of shrink 2.

    python benchmarks/n4.py brain1_image.nrrd --threads 2 --repeats 3

Differences are taken in the log domain over the head (voxels above Otsu's threshold), after the
mean of each field is removed: a constant factor is no bias.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import SimpleITK

from volbench.data.preprocessing.n4 import log_bias_field

SHRINKS = (1, 2, 3, 4, 6, 8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("image", type=Path, nargs="+")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--shrinks", type=int, nargs="+", default=SHRINKS)
    arguments = parser.parse_args()
    for path in arguments.image:
        measure(path, arguments.shrinks, arguments.repeats, arguments.threads)


def measure(path: Path, shrinks: list[int], repeats: int, threads: int) -> None:
    stored = SimpleITK.ReadImage(str(path), SimpleITK.sitkFloat32)
    image = SimpleITK.GetArrayFromImage(stored)
    spacing_mm = stored.GetSpacing()[::-1]
    head = SimpleITK.GetArrayFromImage(SimpleITK.OtsuThreshold(stored, 0, 1, 200)).astype(bool)
    fields, wall, processor = {}, {}, {}
    for shrink in sorted({2, *shrinks}):
        wall[shrink], processor[shrink] = [], []
        for _ in range(repeats):
            start = time.perf_counter(), time.process_time()
            fields[shrink] = log_bias_field(image, spacing_mm, shrink=shrink, threads=threads)
            wall[shrink].append(time.perf_counter() - start[0])
            processor[shrink].append(time.process_time() - start[1])
    reference = fields[2] - fields[2][head].mean()
    print(f"{path.name}: {' x '.join(map(str, image.shape))} voxels (slice x row x column)")
    print(f"{threads} threads, median of {repeats}; |log difference| to the field of shrink 2")
    print("shrink  seconds  CPU seconds    mean    99 %     max")
    for shrink, field in fields.items():
        apart = np.abs(field - field[head].mean() - reference)[head]
        print(
            f"{shrink:6d}  {np.median(wall[shrink]):7.2f}  {np.median(processor[shrink]):11.2f}"
            f"  {apart.mean():.4f}  {np.quantile(apart, 0.99):.4f}  {apart.max():.4f}"
        )


if __name__ == "__main__":
    main()

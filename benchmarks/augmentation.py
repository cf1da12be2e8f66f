"""CPU time of augmentations on one volume of 24 slices of 256 x 256 pixels, on one thread.

    python benchmarks/augmentation.py

Random amounts make some draws cheaper than others: every line is over the same seeds.
"""

import time

import torch

from volbench._utils.case_generator import CaseGenerator
from volbench.interfaces import Augmentation
from volbench.plugins.registry import augmentations

DRAWS = 30
GEOMETRY = "rectal(clahe_p=0, shade_p=0, blur_p=0)"
SPECS = ("affine", "crop", "rectal", GEOMETRY, "rectal(clahe_p=0)")


def main() -> None:
    torch.set_num_threads(1)
    volume = torch.rand(1, 1, 24, 256, 256)
    mask = torch.ones(1, 24, dtype=torch.bool)
    print(f"{'min':>6} {'median':>6} {'mean':>6}  CPU ms over {DRAWS} draws, best of 3 each")
    for spec in SPECS:
        augmentation = augmentations.build(spec, Augmentation)
        best = sorted(
            min(seconds(augmentation, volume, mask, seed) for _ in range(3))
            for seed in range(DRAWS)
        )
        figures = best[0], best[DRAWS // 2], sum(best) / DRAWS
        print(*(f"{1000 * figure:6.0f}" for figure in figures), "", spec)


def seconds(
    augmentation: Augmentation, volume: torch.Tensor, mask: torch.Tensor, seed: int
) -> float:
    start = time.thread_time()
    augmentation(volume, mask, CaseGenerator([seed]))
    return time.thread_time() - start


if __name__ == "__main__":
    main()

"""A data set small enough to be prepared many times, which tells what was rendered."""

import os
import time
from pathlib import Path

import numpy as np

from volbench.interfaces import Card, Case, Dataset, Generated
from volbench.types import Scan


class ToyVolume(Generated):
    def __init__(self, number, log, slow):
        self.number, self.log, self.slow = number, log, slow

    def fingerprint(self):
        return f"toy {self.number}"

    def render(self):
        time.sleep(self.slow)
        if Path(f"{self.log}.broken").exists() and self.number == 2:
            raise ValueError("the second volume\nis broken")
        if Path(f"{self.log}.deadly").exists() and self.number == 2:
            os._exit(9)
        if self.log:
            with Path(self.log).open("a") as log:
                log.write(f"{self.number}\n")
        depth = 1 + self.number % 3
        image = np.random.default_rng(self.number).uniform(0, 100, (2, depth, 6, 6))
        mask = np.zeros((depth, 6, 6), bool)
        mask[0, 1:4, 2:5] = True
        return Scan(image.astype(np.float32), (3.0, 0.5, 0.5), mask, (0,))


class Toy(Dataset):
    card = Card("Toy volumes", "CC0", "nobody")
    classes = ("even", "odd")
    channels = ("t2w", "dwi")
    native_size = 6

    def __init__(self, *, cases=5, log="", slow=0, backwards=False, site="here", swapped=False):
        self.count, self.log, self.slow, self.site = cases, log, slow, site
        self.backwards = backwards
        if swapped:
            self.classes = ("odd", "even")

    def cases(self):
        made = [
            Case(
                name=f"case{number}",
                patient=f"patient{number // 2}",
                label=("even", "odd")[number % 2],
                source=ToyVolume(number, self.log, self.slow),
                representative=(0,),
                strata={"site": self.site},
                fold=str(number % 2),
            )
            for number in range(self.count)
        ]
        return made[::-1] if self.backwards else made

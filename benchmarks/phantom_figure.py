"""Draw the phantom: T2 above T3, representative slices, easy on the left and hard on the right.

    python benchmarks/phantom_figure.py docs/images/phantom.png

Patients are taken in their order, four of each class; none is chosen by hand.
"""

import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from volbench.datasets.phantom import Phantom

SHOWN = 4


def main(target: str) -> None:
    figure, axes = plt.subplots(2, 2 * SHOWN, figsize=(12, 3.5), facecolor="white")
    for side, (title, difficulty) in enumerate((("easy (0)", 0.0), ("hard (1)", 1.0))):
        volumes = Phantom(patients=30, size=256, slices=24, difficulty=difficulty).volumes
        for row, label in enumerate(("T2", "T3")):
            chosen = [v for v in volumes if v.patient.label == label][:SHOWN]
            for column, volume in enumerate(chosen):
                number = volume.patient.deepest[len(volume.patient.deepest) // 2]
                picture = volume.render().image[0, number]
                axis = axes[row, side * SHOWN + column]
                axis.imshow(picture, cmap="gray", vmin=0, vmax=1.1 * volume.patient.scanner.gain)
                axis.set_axis_off()
                if column == 0:
                    axis.set_title(f"{label}, {title}", fontsize=9, loc="left")
    figure.subplots_adjust(0.005, 0.01, 0.995, 0.93, wspace=0.04, hspace=0.16)
    figure.savefig(target, dpi=90, metadata={"Software": None})


if __name__ == "__main__":
    main(sys.argv[1])

"""How many levels and iterations N4 needs: the error left on a synthetic head whose field is known.

    python benchmarks/n4_schedule.py
    python benchmarks/n4_schedule.py brain1_image.nrrd      only the CPU seconds, on a real volume

A two-tissue ellipsoid of 12 x 128 x 128 voxels under a smooth field and Rician noise; shrink 4.
"""

import sys
import time

import numpy as np
import SimpleITK

SCHEDULES = (
    ((50, 50, 50, 50), 0.001),
    ((50, 50, 50, 50), 0.0),
    ((20, 20, 20), 0.0),
    ((20, 20), 0.0),
    ((20,), 0.0),
)


def main() -> None:
    field = head = None
    if len(sys.argv) > 1:
        image = SimpleITK.ReadImage(sys.argv[1], SimpleITK.sitkFloat32)
    else:
        volume, field, head = synthetic_head()
        image = SimpleITK.GetImageFromArray(volume)
        image.SetSpacing((1.5, 1.5, 6.0))
        print(f"the field's standard deviation over the head: {field[head].std():.4f}")
    small = SimpleITK.BinShrink(image, [4, 4, 1])
    mask = SimpleITK.OtsuThreshold(small, 0, 1, 200)
    for iterations, threshold in SCHEDULES:
        n4 = SimpleITK.N4BiasFieldCorrectionImageFilter()
        n4.SetNumberOfThreads(1)
        n4.SetMaximumNumberOfIterations(iterations)
        n4.SetConvergenceThreshold(threshold)
        start = time.process_time()
        n4.Execute(small, mask)
        found = SimpleITK.GetArrayFromImage(n4.GetLogBiasFieldAsImage(image))
        seconds = time.process_time() - start
        left = "" if field is None else f"  error left {(found - field)[head].std():.4f}"
        print(f"{iterations!s:18} threshold {threshold:<6g} {seconds:6.2f} CPU seconds{left}")


def synthetic_head() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A volume, the logarithm of its field, and where there is tissue."""
    shape = (12, 128, 128)
    random = np.random.default_rng(0)
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, count) for count in shape), indexing="ij")
    radius = np.sqrt((x / 0.85) ** 2 + (y / 0.9) ** 2 + (z / 1.3) ** 2)
    tissue = np.where(radius < 1, 100.0, 0.0)
    tissue[(radius < 0.85) & (np.sin(9 * x + 2 * z) * np.sin(8 * y) > 0)] = 160
    tissue[radius < 0.25] = 40
    field = 0.35 * (0.6 * x - 0.5 * y * y + 0.4 * z + 0.3 * x * y)
    field -= field[radius < 1].mean()
    noisy = tissue * np.exp(field) + random.normal(0, 3, shape)
    return np.hypot(noisy, random.normal(0, 3, shape)).astype(np.float32), field, radius < 1


if __name__ == "__main__":
    main()

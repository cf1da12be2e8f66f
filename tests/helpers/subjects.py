"""Small TorchIO subjects in memory, for tests that bring their own cohort."""

import numpy as np
import torchio as tio

AFFINE = np.diag([-0.5, -0.5, 4.0, 1.0])
SHAPE = (20, 18, 5)


def subject(number: int, *, label: str = "label", **attributes: object) -> tio.Subject:
    """One subject of two classes that its numbers tell apart; every voxel differs."""
    random = np.random.default_rng(number)
    voxels = random.random((1, *SHAPE)).astype(np.float32) + number % 2
    region = np.zeros((1, *SHAPE), np.uint8)
    region[0, 4:12, 5:13, 1:4] = 1
    return tio.Subject(
        {
            "t2w": tio.ScalarImage(tensor=voxels, affine=AFFINE),
            "roi": tio.LabelMap(tensor=region, affine=AFFINE),
            label: ("benign", "malignant")[number % 2],
            "patient": f"p{number}",
            **attributes,
        }
    )


def cohort(count: int = 8, transform: object = None) -> tio.SubjectsDataset:
    """A data set of such subjects, as a function that ``--data torchio(source=...)`` can name."""
    subjects = [subject(number, site="AB"[number % 3 == 0]) for number in range(count)]
    return tio.SubjectsDataset(subjects, transform=transform)


def staged(site: str = "A") -> list[tio.Subject]:
    """The same with other names of attributes, and an argument."""
    return [subject(number, label="stage", pid=f"{site}{number}") for number in range(4)]


IN_MEMORY = [subject(number) for number in range(4)]

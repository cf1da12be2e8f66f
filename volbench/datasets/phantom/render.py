"""Rendering of the phantom's anatomy as a T2-weighted stack of thick slices."""

import numpy as np
from jaxtyping import Bool, Float

from volbench.datasets.phantom.anatomy import (
    ANGLES,
    PLANES_PER_SLICE,
    Anatomy,
    slice_positions,
)
from volbench.datasets.phantom.cohort import Patient
from volbench.datasets.phantom.difficulty import Difficulty
from volbench.datasets.phantom.exchange import exchange
from volbench.datasets.phantom.fields import smooth_field
from volbench.datasets.phantom.strands import FLUID, TUMOUR, Strand
from volbench.types import Scan

# Signals are relative: 1 is stored as the scanner's gain.
FAT, SUBMUCOSA, MUSCULARIS, FASCIA, MUSCLE_AND_FAT = 0.68, 0.78, 0.16, 0.25, 0.45
GAS, STOOL = 0.04, 0.3

Planes = Float[np.ndarray, "within height width"]  # the planes within one slice
Plane = Float[np.ndarray, "height width"]


def render_scan(
    patient: Patient,
    anatomy: Anatomy,
    difficulty: Difficulty,
    rng: np.random.Generator,
    *,
    size: int,
) -> Scan:
    """Paint every slice, then add what the scanner adds."""
    pixel_mm = patient.field_of_view_mm / size
    positions = (np.arange(size) - (size - 1) / 2) * pixel_mm
    tissue = _Tissue.draw(patient, difficulty, rng, positions)
    slices = [
        _paint(patient, anatomy, tissue, number, positions, pixel_mm)
        for number in range(patient.slices)
    ]
    signal = np.stack([image for image, _ in slices])
    stored = _acquire(signal, patient, difficulty, rng, positions)
    return Scan(
        image=stored[None],
        spacing_mm=(patient.slice_thickness_mm, pixel_mm, pixel_mm),
        mask=np.stack([rectum for _, rectum in slices]),
        representative=patient.deepest,
    )


class _Tissue:
    """Signals of the tissues; a field per slice where a tissue is not uniform."""

    def __init__(
        self,
        *,
        fat: Float[np.ndarray, "slice height width"],
        pelvis: Float[np.ndarray, "slice height width"],
        tumour: Float[np.ndarray, "slice height width"],
        mucin: float,
        likeness_mm: float,
        lumen: float,
        slice_mm: Float[np.ndarray, " slice"],
        thickness_mm: float,
    ) -> None:
        self.fat, self.pelvis, self.tumour = fat, pelvis, tumour
        self.mucin, self.likeness_mm, self.lumen = mucin, likeness_mm, lumen
        self.slice_mm, self.thickness_mm = slice_mm, thickness_mm

    @classmethod
    def draw(
        cls,
        patient: Patient,
        difficulty: Difficulty,
        rng: np.random.Generator,
        positions: Float[np.ndarray, " pixel"],
    ) -> "_Tissue":
        slice_mm = slice_positions(patient)
        fine = _field(patient, rng, positions, 1.6)
        coarse = _field(patient, rng, positions, 7.0)
        organs = _step(4 * _field(patient, rng, positions, 11.0))
        knots = _field(patient, rng, positions, 2.2)
        fat = FAT + rng.normal(0, 0.04)
        edge = rng.uniform(*difficulty.bladder_threshold)
        bladder = _step(12 * (_field(patient, rng, positions, 14.0) - edge))
        pelvis = MUSCLE_AND_FAT + difficulty.pelvis_contrast * (organs - 0.5)
        pelvis = pelvis * (1 + 0.1 * fine)
        return cls(
            fat=fat * (1 + 0.07 * fine + 0.05 * coarse),
            pelvis=pelvis + bladder * (FLUID - pelvis),
            tumour=(TUMOUR + rng.normal(0, 0.04)) * (1 + 0.1 * knots),
            mucin=difficulty.mucin,
            likeness_mm=difficulty.likeness_mm,
            lumen=_content(difficulty, rng),
            slice_mm=slice_mm,
            thickness_mm=patient.slice_thickness_mm,
        )


def _content(difficulty: Difficulty, rng: np.random.Generator) -> float:
    """What fills the lumen."""
    fluid, gas = rng.random(2)
    if fluid < difficulty.fluid_in_lumen:
        return FLUID
    return GAS if gas < 0.5 else STOOL


def _paint(
    patient: Patient,
    anatomy: Anatomy,
    tissue: _Tissue,
    number: int,
    positions: Float[np.ndarray, " pixel"],
    pixel_mm: float,
) -> tuple[Plane, Bool[np.ndarray, "height width"]]:
    """Paint the planes of one slice from the outside in, and average them: partial volume.

    Returns:
        The signal, and the region of interest: the wall, in version 1 with the tumour beyond it.
    """
    planes = slice(number * PLANES_PER_SLICE, (number + 1) * PLANES_PER_SLICE)
    axis = anatomy.axis_mm[planes].astype(np.float32)
    grid = positions.astype(np.float32)
    rows = (grid - axis[:, :1])[:, :, None]
    columns = (grid - axis[:, 1:])[:, None, :]
    radius = np.hypot(rows, columns)
    angle = ((np.arctan2(rows, columns) + np.pi) * (ANGLES / (2 * np.pi))).astype(np.int32) % ANGLES
    angle += np.arange(PLANES_PER_SLICE, dtype=np.int32)[:, None, None] * ANGLES

    def inside(contour: Float[np.ndarray, "plane angle"], margin: float = 0.0) -> Planes:
        """How much of each pixel lies inside a contour."""
        reach = (contour[planes].ravel() + (margin + pixel_mm / 2)).astype(np.float32)
        share: np.ndarray = np.clip((reach[angle] - radius) / np.float32(pixel_mm), 0, 1)
        return share

    image = np.broadcast_to(tissue.pelvis[number], radius.shape).copy()
    _blend(image, inside(anatomy.fascia), tissue.fat[number])
    line = inside(anatomy.fascia, 0.5) - inside(anatomy.fascia, -0.5)
    _blend(image, line, FASCIA)
    thickness = tissue.thickness_mm
    depths = (
        tissue.slice_mm[number]
        + ((np.arange(PLANES_PER_SLICE) + 0.5) / PLANES_PER_SLICE - 0.5) * thickness
    )
    for strand in anatomy.strands:
        _paint_strand(image, strand, depths, positions, pixel_mm)
    wall = inside(anatomy.muscularis)
    _blend(image, wall, MUSCULARIS)
    within = inside(anatomy.submucosa)
    beyond = np.zeros_like(wall)
    _blend(image, within, SUBMUCOSA)
    _blend(image, inside(anatomy.lumen), tissue.lumen)
    if (anatomy.tumour_outer[planes] > anatomy.tumour_inner[planes]).any():
        reach = inside(anatomy.tumour_outer)
        _blend(image, reach - inside(anatomy.tumour_inner), tissue.tumour[number])
        depth = np.maximum(anatomy.tumour_outer - anatomy.muscularis, 0)
        core = inside(anatomy.muscularis + tissue.mucin * depth)
        _blend(image, np.maximum(core - wall, 0), FLUID)
        beyond = np.maximum(reach - wall, 0)
        if patient.version == 1:
            wall = np.maximum(wall, reach)
    signal: Plane = image.mean(axis=0)
    if patient.turned_inwards:
        signal = exchange(
            signal,
            beyond.mean(axis=0),
            within.mean(axis=0),
            pixel_mm=pixel_mm,
            fat=FAT,
            likeness_mm=tissue.likeness_mm,
        )
    return signal, wall.mean(axis=0) >= 0.5


def _step(at: Float[np.ndarray, "slice height width"]) -> Float[np.ndarray, "slice height width"]:
    """The logistic function: 0 far below zero, 1 far above."""
    step: np.ndarray = 0.5 + 0.5 * np.tanh(at / 2)
    return step


def _blend(image: Planes, share: Planes, signal: Plane | float) -> None:
    image += share * (signal - image)


def _paint_strand(
    image: Planes,
    strand: Strand,
    depths_mm: Float[np.ndarray, " within"],
    positions: Float[np.ndarray, " pixel"],
    pixel_mm: float,
) -> None:
    """Paint a capsule into the box that holds it."""
    reach = strand.radius_mm + pixel_mm
    low, high = strand.ends_mm.min(axis=0) - reach, strand.ends_mm.max(axis=0) + reach
    if depths_mm[-1] < low[0] or depths_mm[0] > high[0]:
        return
    rows = slice(*np.searchsorted(positions, (low[1], high[1])))
    columns = slice(*np.searchsorted(positions, (low[2], high[2])))
    start, end = strand.ends_mm
    along = end - start
    offsets = (
        (depths_mm - start[0])[:, None, None],
        (positions[rows] - start[1])[None, :, None],
        (positions[columns] - start[2])[None, None, :],
    )
    dot = sum(offset * step for offset, step in zip(offsets, along, strict=True))
    nearest = np.clip(dot / max(float(along @ along), 1e-6), 0, 1)
    squares = ((offset - nearest * step) ** 2 for offset, step in zip(offsets, along, strict=True))
    distance = np.sqrt(sum(squares))
    half = pixel_mm / 2
    # A strand thinner than a pixel covers only a part of it, so both of its edges count.
    overlap = np.minimum(strand.radius_mm, distance + half) - np.maximum(
        -strand.radius_mm, distance - half
    )
    share = np.clip(overlap / pixel_mm, 0, 1).astype(np.float32)
    _blend(image[:, rows, columns], share, strand.signal)


def _acquire(
    signal: Float[np.ndarray, "slice height width"],
    patient: Patient,
    difficulty: Difficulty,
    rng: np.random.Generator,
    positions: Float[np.ndarray, " pixel"],
) -> Float[np.ndarray, "slice height width"]:
    """Apply the scanner's contrast, coil and Rician noise; whole numbers, as scanners store."""
    scanner = patient.scanner
    contrast = np.clip(signal, 0, None) ** np.float32(scanner.gamma * SITE_GAMMA[patient.site])
    coil = np.exp(np.float32(difficulty.bias) * _field(patient, rng, positions, 45.0))
    sigma = difficulty.noise * scanner.noise
    real, imaginary = sigma * rng.standard_normal((2, *signal.shape), dtype=np.float32)
    magnitude = np.hypot(contrast * coil + real, imaginary)
    stored: np.ndarray = np.clip(np.rint(magnitude * scanner.gain), 0, 32767).astype(np.float32)
    return stored


SITE_GAMMA = {"east": 0.94, "north": 1.0, "west": 1.08}


def _field(
    patient: Patient,
    rng: np.random.Generator,
    positions: Float[np.ndarray, " pixel"],
    correlation_mm: float,
) -> Float[np.ndarray, "slice height width"]:
    slice_mm = slice_positions(patient)
    extent = patient.slices * patient.slice_thickness_mm
    return smooth_field(
        rng,
        (slice_mm, positions, positions),
        extent_mm=(extent, patient.field_of_view_mm, patient.field_of_view_mm),
        correlation_mm=(max(correlation_mm, 3.0), correlation_mm, correlation_mm),
    )

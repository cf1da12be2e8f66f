"""Validation of options shared by the augmentations."""


def check_range(option: str, value: float, *, low: float, high: float) -> float:
    """Return a value, or refuse it if it is out of range.

    Raises:
        ValueError: with the option, its value and the range.
    """
    if not low <= value <= high:
        raise ValueError(f"{option} must be from {low:g} to {high:g}, but got {option}={value!r}")
    return value


def check_count(option: str, value: int, *, low: int, high: int) -> int:
    """Return a whole number, or refuse it if it is out of range.

    Raises:
        ValueError: with the option, its value and the range.
    """
    if not low <= value <= high:
        raise ValueError(
            f"{option} must be a whole number from {low} to {high}, but got {option}={value!r}"
        )
    return value


def check_kernel(option: str, value: int, *, high: int = 15) -> int:
    """Return the size of a kernel, or refuse it if it has no middle pixel or is too large.

    Raises:
        ValueError: with the option, its value and the range.
    """
    if value % 2 != 1 or not 1 <= value <= high:
        raise ValueError(
            f"{option} must be an odd number from 1 (off) to {high}, but got {option}={value!r}"
        )
    return value


def check_weights(**weights: float) -> tuple[float, ...]:
    """Return how often each of several alternatives is taken, adding up to one.

    Raises:
        ValueError: a weight is negative, or all are zero.
    """
    for option, weight in weights.items():
        check_range(option, weight, low=0, high=1000)
    total = sum(weights.values())
    if not total:
        raise ValueError(f"{', '.join(weights)} must not all be 0; set the probability of all to 0")
    return tuple(weight / total for weight in weights.values())

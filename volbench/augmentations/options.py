"""Options that several augmentations share."""


def check_range(option: str, value: float, *, low: float, high: float) -> None:
    """Refuse a value out of range.

    Raises:
        ValueError: with the option, its value and the range.
    """
    if not low <= value <= high:
        raise ValueError(f"{option} must be from {low:g} to {high:g}, but got {option}={value!r}")

"""Checks of options that several losses share; the messages are what a person reads."""


def check_positive(**options: float) -> None:
    """Refuse what is not above 0.

    Raises:
        ValueError: names the option and its value.
    """
    for name, value in options.items():
        if not value > 0:
            raise ValueError(f"{name} must be above 0, but got {name}={value!r}")


def check_between(low: float, high: float, **options: float) -> None:
    """Refuse what is not from ``low`` to ``high``.

    Raises:
        ValueError: names the option and its value.
    """
    for name, value in options.items():
        if not low <= value <= high:
            raise ValueError(f"{name} must be from {low:g} to {high:g}, but got {name}={value!r}")

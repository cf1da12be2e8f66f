"""Derived seeds: every random stream follows from the seed of the experiment and a name."""

import hashlib


def derive_seed(*parts: object) -> int:
    """Derive a 63-bit seed from a path of names and numbers.

    >>> derive_seed(0, "fold", 3) == derive_seed(0, "fold", 3) != derive_seed(0, "fold", 4)
    True
    """
    text = "\x1f".join(map(str, parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1

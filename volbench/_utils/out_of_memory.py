"""Memory that ran out, by whatever name the libraries call it."""

from volbench.errors import OutOfMemoryError

_TEXTS = ("out of memory", "can't allocate memory", "cannot allocate memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out: Python's, PyTorch's, CUDA's or the system's.

    >>> is_out_of_memory(RuntimeError("CUDA error: out of memory")), is_out_of_memory(KeyError("x"))
    (True, False)
    """
    if isinstance(error, MemoryError | OutOfMemoryError):
        return True
    named = any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__)
    text = str(error).lower()
    return named or (
        isinstance(error, RuntimeError | OSError) and any(said in text for said in _TEXTS)
    )


def tell_retry(reason: str) -> str:
    """Say that what ran out of memory is not given up yet."""
    return f"out of memory ({reason}); it is tried again alone"


def tell_out_of_memory(error: BaseException) -> str:
    """A line on memory that ran out, with the way out.

    >>> tell_out_of_memory(RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB. If"))
    'CUDA out of memory. Tried to allocate 2.00 GiB: free some, or use another --device'
    >>> tell_out_of_memory(MemoryError())
    'out of memory: free some, or use another --device'
    """
    sentences = " ".join(str(error).split()).split(". ")
    said = ". ".join(sentences[:2]).rstrip(".")
    what = said if "memory" in said.lower() else f"out of memory{f': {said}' if said else ''}"
    return f"{what}: free some, or use another --device"

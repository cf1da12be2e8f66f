"""Weights of the Hugging Face hub: those that are kept first, then the hub, if it answers.

The hub's client asks for news of weights that are kept already, and where nothing answers it tries
ten times in about a minute. Weights that are kept are those a run goes on with, so nobody asks.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from huggingface_hub import constants, get_session
from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled

Loaded = TypeVar("Loaded")

PATIENCE_S = 5.0
"""Within which the hub, or the proxy before it, answers where there is a network at all."""


def load_from_hub(load: Callable[[], Loaded]) -> Loaded:
    """Load what may have to be downloaded: without the network if it is kept.

    Args:
        load: Called once, or once more with the network if its files are not kept.

    Raises:
        ConnectionError: it is not kept, and the hub cannot be reached; within seconds.
    """
    if constants.HF_HUB_OFFLINE:  # somebody wants it so
        return load()
    try:
        with _offline():
            return load()
    except (LocalEntryNotFoundError, OfflineModeIsEnabled):
        _require_answer(constants.ENDPOINT)
    return load()


@contextmanager
def _offline() -> Iterator[None]:
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = False


def _require_answer(url: str) -> None:
    """Ask in a thread, because looking up a name may take longer than any time that is given."""
    failures: list[Exception] = []

    def ask() -> None:
        try:
            get_session().head(url, timeout=PATIENCE_S)
        except Exception as error:  # of httpx or requests, by the version of the client
            failures.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    if failures:
        raise ConnectionError(f"{url} cannot be reached: {failures[0]}") from failures[0]
    if thread.is_alive():
        raise ConnectionError(f"{url} does not answer within {PATIENCE_S:g} s")

"""Logging under the name ``volbench``: silent by default, on stderr with ``-v``.

Modules log with ``logging.getLogger(__name__)``. A program that uses volbench configures the logger
``volbench`` like any other; the command line does it here. The level travels to worker processes in
the environment variable ``VOLBENCH_LOG`` (``info`` or ``debug``), which may also be set by hand.
"""

import logging
import os
import sys

VARIABLE = "VOLBENCH_LOG"
LEVELS = {"info": logging.INFO, "debug": logging.DEBUG}
FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"

_logger = logging.getLogger("volbench")


class _StderrHandler(logging.Handler):
    """Writes to what ``sys.stderr`` is at the time, so that lines stay above a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr, flush=True)


def show_logs(verbosity: int) -> None:
    """Log to stderr, here and in processes started from now on.

    Args:
        verbosity: 0 changes nothing, 1 shows information, 2 or more also debug messages.
    """
    if verbosity:
        os.environ[VARIABLE] = "info" if verbosity == 1 else "debug"
        start_logging()


def start_logging() -> None:
    """Set up the logger as the environment says; without the variable it stays silent."""
    _logger.addHandler(logging.NullHandler())
    level = LEVELS.get(os.environ.get(VARIABLE, "").lower())
    if level is None:
        return
    _logger.setLevel(level)
    if not any(isinstance(handler, _StderrHandler) for handler in _logger.handlers):
        handler = _StderrHandler()
        handler.setFormatter(logging.Formatter(FORMAT, datefmt="%H:%M:%S"))
        _logger.addHandler(handler)

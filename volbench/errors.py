"""Everything volbench raises on purpose, each with the exit code that the command line returns.

A message is one line that names the thing, its value and the way out.
"""


class VolbenchError(Exception):
    """Base class of every error a user can cause: one line, and the command's exit code.

    >>> import volbench
    >>> try:
    ...     volbench.info("rmc6")
    ... except volbench.VolbenchError as error:
    ...     print(error.exit_code, "rmc5" in str(error))
    4 True
    """

    exit_code = 2


class UsageError(VolbenchError):
    """An option or an argument cannot be used as given."""


class DataError(VolbenchError):
    """A volume, a manifest or a label cannot be trusted."""

    exit_code = 3


class SpecError(VolbenchError):
    """A spec or a recipe cannot be read."""

    exit_code = 4


class UnknownComponentError(SpecError):
    """No installed distribution provides the requested name."""


class StateError(VolbenchError):
    """A run folder or a cache does not hold what it should, or belongs to something else."""

    exit_code = 5


class StorageError(VolbenchError):
    """The disk is full, a folder cannot be written, or another process holds its lock."""

    exit_code = 6


class PluginError(VolbenchError):
    """An installed component cannot be imported or breaks its contract."""

    exit_code = 7


class TrainingError(VolbenchError):
    """Training one fold failed; the run keeps the fold as a row with this reason."""

    exit_code = 1


class PreemptedError(VolbenchError):
    """The work was asked to stop and kept its state; doing it again goes on from there."""

    exit_code = 143


class ExecutorError(VolbenchError):
    """A cluster cannot be reached or refuses what it was asked for."""

    exit_code = 6


class OutOfMemoryError(VolbenchError):
    """The machine or the device has no memory left for the work."""

    exit_code = 1

"""Identity and liveness of processes on this machine."""

import hashlib
import os
import socket
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True)
class ProcessIdentity:
    """A process, told apart from every other one of every machine.

    Attributes:
        host: Name of the machine, for people.
        space: Boot of the machine and namespace of process numbers; numbers mean nothing outside.
        pid: Process number.
        started: When the process began, in clock ticks since boot, as numbers are used again.
    """

    host: str
    space: str
    pid: int
    started: int

    @classmethod
    def current(cls) -> "ProcessIdentity":
        """Identify this process.

        >>> ProcessIdentity.current().has_ended
        False
        """
        pid = os.getpid()
        return cls(socket.gethostname(), _space(), pid, _start_ticks(pid) or 0)

    @property
    def has_ended(self) -> bool:
        """Whether the process is known to be gone; False where this machine cannot tell."""
        if not self.space or self.space != _space():
            return False
        return _start_ticks(self.pid) != self.started

    @property
    def token(self) -> str:
        """The process in the name of a file: `token_has_ended` reads it."""
        space = hashlib.sha256(self.space.encode()).hexdigest()[:8] if self.space else "-"
        return f"{self.pid}-{self.started}-{space}"

    def to_json(self) -> dict[str, str | int]:
        """Plain data."""
        return asdict(self)


def token_has_ended(token: str) -> bool:
    """Whether the process of a token is known to be gone; False where this machine cannot tell.

    >>> token_has_ended(ProcessIdentity.current().token)
    False
    """
    pid, _, rest = token.partition("-")
    now = ProcessIdentity.current()
    if not (pid.isdecimal() and now.space and token.endswith(now.token.rpartition("-")[2])):
        return False
    return rest.partition("-")[0] != str(_start_ticks(int(pid)))


@cache
def _space() -> str:
    """Empty where the system reports no boot id: then no process is ever known to have ended."""
    try:
        boot = (PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.readlink(PROC / 'self/ns/pid')}"
    except OSError:
        return ""


def _start_ticks(pid: int) -> int | None:
    """When a process began; None if there is none, or only its unburied body."""
    try:
        # The name in parentheses may hold spaces and parentheses itself.
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])

"""Worker processes of a command that runs: found in /proc."""

from pathlib import Path


def workers_of(pid):
    """The ids of the processes that do a command's folds."""
    return {
        child
        for server in _children(pid)
        if b"forkserver" in _command(server)
        for child in _children(server)
    }


def _children(pid):
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def _command(pid):
    return Path(f"/proc/{pid}/cmdline").read_bytes()

"""Which process does something: a name by which others on the same machine can tell whether it is still there."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def this_process() -> str:
    """The name of this process: its machine, its number and, where the system tells it, when it started."""
    return f"{socket.gethostname()} {os.getpid()} {_started(os.getpid()) or '-'}"


def is_gone(name: str) -> bool:
    """Whether a process of this machine has ended; not so of one of another machine, of which nobody knows.

    Args:
        name: As `this_process` told it.
    """
    host, number, started = name.rsplit(" ", 2)
    if host != socket.gethostname():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    # Numbers are given out again.
    return started != (_started(int(number)) or "-")


def _started(number: int) -> str | None:
    """When a process started, in ticks since the machine did, and which start of the machine that was (Linux)."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        fields = Path(f"/proc/{number}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return None
    return f"{boot}/{fields[19]}"

"""Whether a process is still there: what a killed one has left may be swept, what a living one holds may not."""

from __future__ import annotations

import os


def alive(process: int) -> bool:
    """Whether a process of this number runs on this machine, ours or another's.

    >>> alive(os.getpid())
    True
    """
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

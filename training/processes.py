"""What a killed process has left may be swept, what a living one holds may not: whether one is still there, and folders
to work in that tell whose they are.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SCRATCH = "journey-insight-"


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


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder to work in, gone afterwards. Those of processes that were killed meanwhile go first.

    >>> with scratch() as folder:
    ...     folder.is_dir()
    True
    """
    for left in Path(tempfile.gettempdir()).glob(f"{_SCRATCH}*-*"):
        process = left.name.removeprefix(_SCRATCH).partition("-")[0]
        if process.isdigit() and not alive(int(process)):
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"{_SCRATCH}{os.getpid()}-") as folder:
        yield Path(folder)

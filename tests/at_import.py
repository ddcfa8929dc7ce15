"""Run by test_architecture.py in a process of its own: imports the modules named, prints what our code did meanwhile.

    python -B at_import.py FOLDER MODULE...

What a foreign library does when it is imported is its own affair: only deeds below one of our modules, with no other
import in between, are told, one a line.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
from types import FrameType
from typing import Any

DEEDS = ("os.mkdir", "os.rename", "os.remove", "os.link", "os.putenv", "os.chmod", "subprocess.Popen", "os.system",
         "socket.connect", "socket.bind", "sqlite3.connect")  # fmt: skip
IMPORTING = "<frozen importlib._bootstrap>"
OF_A_LIBRARY = {"PYDANTIC_DISABLE_PLUGINS"}  # looked up whenever a model is declared

done: list[str] = []


def of_ours(ours: tuple[str, ...]) -> str | None:
    """The place in a module of ours that is being imported and runs right now; None where a foreign one, or none, is.

    `ours` holds how the paths of our files begin.
    """
    frame: FrameType | None = sys._getframe(2)
    found = None
    while frame is not None and frame.f_code.co_filename != IMPORTING:
        if frame.f_code.co_filename.startswith(ours):
            found = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back
    return found if frame is not None else None


def watch(ours: tuple[str, ...]) -> None:
    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if (writes or event in DEEDS) and (where := of_ours(ours)):
            done.append(f"{where} {event} {arguments[:1]}")

    sys.addaudithook(hook)
    environment: Any = type(os.environ)
    for name in ("__getitem__", "__iter__"):
        setattr(environment, name, told(getattr(environment, name), ours))


def told(method: Any, ours: tuple[str, ...]) -> Any:
    """The same way into the environment, but not in silence."""

    def reading(self: Any, *arguments: Any) -> Any:
        if OF_A_LIBRARY.isdisjoint(arguments) and (where := of_ours(ours)):
            done.append(f"{where} reads the environment {arguments}")
        return method(self, *arguments)

    return reading


def main(folder: str, modules: list[str]) -> None:
    sys.path.insert(0, folder)
    watch(tuple(os.path.join(folder, name.partition(".")[0]) for name in modules))
    for name in modules:
        before = (list(logging.root.handlers), logging.root.level, os.getcwd())
        importlib.import_module(name)
        if before != (list(logging.root.handlers), logging.root.level, os.getcwd()):
            done.append(f"{name} sets up logging or the working folder")
    structlog = sys.modules.get("structlog")
    if structlog is not None and structlog.is_configured():
        done.append("structlog is configured")
    sys.stdout.write("".join(f"{line}\n" for line in dict.fromkeys(done)))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])

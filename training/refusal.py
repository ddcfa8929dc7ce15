"""What commands share: a refusal as one clear line on stderr and exit code 2, who and when. Knows no command."""

from __future__ import annotations

import getpass
import time

import typer
from rich.console import Console
from rich.markup import escape

from models.journey.event import Micros


def stderr() -> Console:
    """Where everything goes that is no result; made when it is needed, as it looks at the environment."""
    return Console(stderr=True)


def refused(message: str) -> typer.Exit:
    """One line on stderr, whatever it is made of; to be raised."""
    line = " ".join(message.split())
    stderr().print(f"[red]error:[/red] {escape(line)}", highlight=False, soft_wrap=True)
    return typer.Exit(2)


def now_micros() -> Micros:
    """Microseconds since 1970."""
    return time.time_ns() // 1000


def somebody() -> str:
    """Who publishes; a container may have no name for its user."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"

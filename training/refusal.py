"""A refusal at the command line: one clear line on stderr and exit code 2. Knows no command."""

from __future__ import annotations

import typer
from rich.console import Console
from rich.markup import escape


def stderr() -> Console:
    """Where everything goes that is no result; made when it is needed, as it looks at the environment."""
    return Console(stderr=True)


def refused(message: str) -> typer.Exit:
    """One line on stderr, whatever it is made of; to be raised."""
    line = " ".join(message.split())
    stderr().print(f"[red]error:[/red] {escape(line)}", highlight=False, soft_wrap=True)
    return typer.Exit(2)

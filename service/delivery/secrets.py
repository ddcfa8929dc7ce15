"""Secrets of webhooks: derived from one key and a random id, so that no database and no backup of one holds them.

A signature is symmetric: whoever signs must know the secret itself, so it cannot be kept as a hash like an API key.
What a database keeps is the id; the key is a setting, or a file beside the databases that only their owner can read and
that no backup carries. Signing itself is `standardwebhooks`' work.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from pathlib import Path

from service.errors import Conflict
from service.settings import Settings

KEY_FILE = "webhook.key"
LEAST_CHARACTERS = 32


def signing_key(settings: Settings) -> bytes:
    """The key that secrets are derived from: of the setting, or of the file, which is made the first time.

    Raises Conflict where it is too short to be one.
    """
    key = settings.webhook_key.get_secret_value()
    if not key:
        path = settings.data_dir / KEY_FILE
        if not path.exists():
            _make(path)
        key = path.read_text().strip()
    if len(key) < LEAST_CHARACTERS:
        raise Conflict(f"The key of webhooks (JOURNEY_WEBHOOK_KEY, or {KEY_FILE} in the data folder) is too short.",
                       f"Give {LEAST_CHARACTERS} characters or more, then rotate the secrets.",
                       code="webhook_key_short")  # fmt: skip
    return key.encode()


def _make(path: Path) -> None:
    """Whole or not at all, readable by its owner alone; of two that make it at once, the first counts."""
    own = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    with open(os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_hex(32) + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(own, path)
    except FileExistsError:
        return
    finally:
        own.unlink()


def secret_of(key: bytes, secret_id: str) -> str:
    """The secret with this id, as Standard Webhooks writes it.

    >>> secret_of(b"key", "a") == secret_of(b"key", "a") != secret_of(b"key", "b")
    True
    """
    raw = hmac.digest(key, f"webhook secret {secret_id}".encode(), hashlib.sha256)
    return f"whsec_{base64.b64encode(raw).decode()}"


def print_of(key: bytes) -> str:
    """Tells one key from another, and nothing else of it."""
    return hmac.digest(key, b"print", hashlib.sha256).hex()[:16]

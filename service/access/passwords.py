"""Passwords: hashed with argon2id, and compared. Stores nothing and limits nobody (guessing.py does).

The parameters are the second recommended option of RFC 9106 (64 MiB, three passes), argon2-cffi's default; they stand
in each hash, so that they can be raised later.
"""

from __future__ import annotations

import threading
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from service.errors import Invalid

MIN_PASSWORD, MAX_PASSWORD = 12, 256
"""Length alone is asked for, no kinds of characters (NIST SP 800-63B-4, 3.1.1.2)."""

AT_ONCE = 2
"""Hashes computed at once: each takes 64 MiB and a processor for a tenth of a second."""
_turns = threading.BoundedSemaphore(AT_ONCE)


def hashed(password: str, field: str = "password") -> str:
    """The hash to store. Raises Invalid, which names `field`, for a password that is too short or too long."""
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise Invalid(f"A password has {MIN_PASSWORD} to {MAX_PASSWORD} characters; this one has {len(password)}.",
                      "Choose another, such as four words.", field=field)  # fmt: skip
    with _turns:
        return PasswordHasher().hash(password)


def matches(password: str, stored: str | None) -> bool:
    """Whether this is the password behind the hash. Without a hash it takes as long, and is not."""
    with _turns:
        try:
            return PasswordHasher().verify(stored or _nobodys(), password[:MAX_PASSWORD]) and stored is not None
        except VerifyMismatchError:
            return False


@cache
def _nobodys() -> str:
    return PasswordHasher().hash("nobody signs in with this")

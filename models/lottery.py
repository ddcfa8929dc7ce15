"""Which answers are drawn at random to be read blind: by a keyed hash, so that nobody can foresee a draw and whoever
has the key can show later that it was fair.

Pure. Keeps no key and no draw.
"""

from __future__ import annotations

import hashlib
import hmac

from models.insight import Conclusion, Decision

UNREAD_REASONS = frozenset({"below_threshold", "no_promise", "promise_withdrawn"})
"""Flags that say that nothing was promised of an answer, and nothing of its words."""


def lot(secret: str, subject: str) -> float:
    """Where the lot of one subject fell, in [0, 1): HMAC-SHA256 under the key, always the same.

    >>> round(lot("a key", "f1"), 4), lot("a key", "f1") == lot("another", "f1")
    (0.1766, False)
    """
    drawn = hmac.new(secret.encode(), f"blind:{subject}".encode(), hashlib.sha256).digest()
    return int.from_bytes(drawn[:8], "big") / 2**64


def releasable(one: Conclusion) -> bool:
    """Whether nothing but the threshold could keep this feeling from being released: whom the promise is about.

    Of these, and of no others, some are drawn: at one time all with the same chance, whatever their score, so that
    what people say of them is a fair sample at every threshold.
    """
    by_model = one.kind == "feeling" and one.decided_by == "model" and one.decision is not Decision.ABSTAIN
    return by_model and {flag.code for flag in one.flags} <= UNREAD_REASONS

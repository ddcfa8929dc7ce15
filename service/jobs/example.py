"""The answers about jobs that the OpenAPI document shows; a test holds them to what the code answers."""

from __future__ import annotations

from typing import Any

JOB: dict[str, Any] = {
    "job_id": "id-1",
    "kind": "score",
    "state": "waiting",
    "customers": "all",
    "format": "parquet",
    "made_at": "2026-11-21T12:00:00Z",
    "made_by": "read",
    "started_at": None,
    "finished_at": None,
    "model": {"version": 1, "digest": "one"},
    "progress": {"done": 0, "total": None},
    "rows": None,
    "problem": None,
    "result": None,
}

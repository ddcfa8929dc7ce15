"""/healthz: the process answers. /readyz: it can do its work, with which bundle, and how far the log is folded."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends

from service.events import projector, store
from service.live.bundles import LiveBundles, bundles_of
from service.state import State, state_of

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process is alive."""
    return {"status": "ok"}


@router.get("/readyz")
def readyz(
    state: Annotated[State, Depends(state_of)], bundles: Annotated[LiveBundles, Depends(bundles_of)]
) -> dict[str, Any]:
    """Both databases answer (else 503). Without a bundle we are ready too: with base rates and `abstain`."""
    with state.log.read() as log, state.service.read() as service:
        behind = store.head(log) - projector.position(service).seq
    return {"status": "ready", "bundle": bundles.status(), "events_to_fold": behind}

"""The HTTP service: the one place where its parts meet. It answers requests; folding and concluding is the worker's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from functools import partial

from fastapi import FastAPI

from models.bundle import load_bundle
from service import errors, health, metrics
from service.access.keys import KeyRing
from service.clock import Clock, Ids, random_id, system_clock
from service.counters import Counters, CountRequests
from service.customers.identity_routes import router as identity_router
from service.customers.privacy import router as privacy_router
from service.events.browsers import AllowBrowsers
from service.events.routes import router as events_router
from service.feedback.routes import router as feedback_router
from service.forecasts.routes import router as forecasts_router
from service.insights.customers import router as customers_router
from service.insights.routes import router as insights_router
from service.live.bundles import LiveBundles
from service.logs import RequestLog
from service.reviews.routes import router as reviews_router
from service.settings import Settings
from service.state import open_state


def create_app(
    settings: Settings,
    *,
    clock: Clock = system_clock,
    bundles: LiveBundles | None = None,
    ids: Ids = random_id,
) -> FastAPI:
    """The whole service on one data folder. Databases are opened and migrated when the app starts, not here."""
    load = partial(load_bundle, remembered=settings.feeling_answers)
    live = bundles or LiveBundles(settings.mlruns_dir, settings.onnx_threads, settings.bundle_check_seconds, load)
    counters = Counters.fresh()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with open_state(settings, clock, ids) as state, metrics.watching(counters.registry, state, live):
            app.state.service = state
            live.now()
            with closing(KeyRing(state.service)) as app.state.keys:
                yield

    app = FastAPI(title="Journey Insight", version="1", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.bundles = live
    app.state.ids = ids
    app.state.counters = counters
    errors.install(app)
    app.add_middleware(RequestLog, ids=ids)
    app.add_middleware(AllowBrowsers, origins=settings.cors_origins)
    app.add_middleware(CountRequests, counters=counters)
    routers = (
        health.router, metrics.router, privacy_router, events_router, feedback_router, insights_router,
        customers_router, identity_router, forecasts_router, reviews_router,
    )  # fmt: skip
    for router in routers:
        app.include_router(router)
    return app

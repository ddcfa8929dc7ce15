"""The HTTP service: the one place where its parts meet. It answers requests; folding and concluding is the worker's."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, closing
from functools import partial

from fastapi import FastAPI

from models.bundle import load_bundle
from service import errors, health, metrics
from service.access.keys import KeyRing
from service.access.limits import Bounded, Limits
from service.access.replays import Replays
from service.clock import Clock, Ids, random_id, system_clock
from service.compressing import Compressing
from service.counters import Counters, CountRequests
from service.customers.identity_routes import router as identity_router
from service.customers.privacy import router as privacy_router
from service.delivery.audiences import router as audiences_router
from service.delivery.changes import router as changes_router
from service.delivery.pages import router as deliveries_router
from service.delivery.webhook_routes import router as webhooks_router
from service.document import document
from service.events import words
from service.events.browsers import AllowBrowsers
from service.events.routes import router as events_router
from service.feedback.routes import router as feedback_router
from service.forecasts.routes import router as forecasts_router
from service.insights.asking import Asking
from service.insights.customers import router as customers_router
from service.insights.many import router as many_router
from service.insights.models import router as models_router
from service.insights.promised import put_in_force
from service.insights.quick import quick_routes
from service.insights.reading import StoredInsights
from service.insights.routes import router as insights_router
from service.jobs.routes import router as jobs_router
from service.live.bundles import LiveBundles
from service.logs import RequestLog
from service.reviews.marks import Marks
from service.reviews.routes import router as reviews_router
from service.settings import Settings
from service.state import open_state


def create_app(
    settings: Settings,
    *,
    clock: Clock = system_clock,
    bundles: LiveBundles | None = None,
    ids: Ids = random_id,
    started: Callable[[], None] = lambda: None,
) -> FastAPI:
    """The whole service on one data folder. Databases are opened and migrated when the app starts, not here; `started`
    is called when all is loaded."""
    load = partial(load_bundle, remembered=settings.feeling_answers)
    live = bundles or LiveBundles(settings.mlruns_dir, settings.onnx_threads, settings.bundle_check_seconds, load)
    counters = Counters.fresh()

    app = FastAPI(
        title="Journey Insight",
        version="1",
        lifespan=_lifespan(settings, clock, ids, live, counters, started),
        docs_url=None,
        redoc_url=None,
    )
    app.state.bundles = live
    app.state.ids = ids
    app.state.counters = counters
    app.state.limits = Limits(settings.key_requests_per_second, settings.key_burst)
    app.state.marks = Marks()
    errors.install(app)
    # The last that is added sees a request first.
    app.add_middleware(Replays)
    app.add_middleware(Compressing)
    app.add_middleware(RequestLog, ids=ids)
    app.add_middleware(AllowBrowsers, origins=settings.cors_origins, api_origins=settings.api_origins)
    app.add_middleware(Bounded, most=settings.requests_at_once)
    app.add_middleware(CountRequests, counters=counters)
    routers = (
        health.router, metrics.router, privacy_router, events_router, feedback_router, insights_router,
        customers_router, identity_router, forecasts_router, jobs_router, many_router, models_router, reviews_router,
        changes_router, audiences_router, webhooks_router, deliveries_router,
    )  # fmt: skip
    app.router.routes.extend(quick_routes())
    for router in routers:
        app.include_router(router)
    app.openapi = document(app, routers)  # type: ignore[method-assign]
    return app


def _lifespan(
    settings: Settings,
    clock: Clock,
    ids: Ids,
    live: LiveBundles,
    counters: Counters,
    started: Callable[[], None],
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """What is opened when the app starts, and closed when it ends."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        loading = threading.Thread(target=live.now, name="bundle")
        loading.start()  # while the databases are opened
        with open_state(settings, clock, ids) as state, metrics.watching(counters.registry, state, live):
            app.state.service = state
            words.get_ready()
            put_in_force(state)
            loading.join()
            live.now()
            with ExitStack() as parts:
                app.state.keys = parts.enter_context(closing(KeyRing(state.service)))
                app.state.stored_insights = parts.enter_context(closing(StoredInsights(state.service)))
                app.state.asking = parts.enter_context(closing(Asking(state, live)))
                started()
                yield

    return lifespan

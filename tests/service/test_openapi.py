"""The OpenAPI document holds: schemathesis finds no failure in any operation, and a client generated from it works.

JOURNEY_CAMPAIGN=1 tries many more.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.core.result import Ok
from schemathesis.python import asgi
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from service.access import keys
from service.app import create_app
from service.live.bundles import LiveBundles
from service.settings import Settings
from tests.seeds import LONG
from tests.service.fakes import NOON, CountingIds, FakeClock, House, load_fake, publish, track

pytestmark = pytest.mark.timeout(3_600 if LONG else 600)
TRIED = settings(max_examples=200 if LONG else 4, deadline=None, suppress_health_check=list(HealthCheck), database=None)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_schemathesis_finds_no_failure_in_any_operation(tmp_path: Path, mode: GenerationMode) -> None:
    publish(tmp_path / "mlruns", 1, "one")
    given_settings = Settings(data_dir=tmp_path / "data", mlruns_dir=tmp_path / "mlruns")
    bundles = LiveBundles(tmp_path / "mlruns", check_seconds=0, load=load_fake)
    app = create_app(given_settings, clock=FakeClock(NOON), ids=CountingIds(), bundles=bundles)
    with asgi.get_client(cast(Any, app)) as session:
        key = keys.create(app.state.service.service, "all", keys.SCOPES, NOON)[1]
        headers = {"Authorization": f"Bearer {key}"}
        session.post("/v1/batch", json={"batch": [track("Test Drive Booked")]}, headers=headers)
        schema = schemathesis.openapi.from_asgi("/openapi.json", app)
        found = [one.ok() for one in schema.get_all_operations() if isinstance(one, Ok)]
        paths = app.openapi()["paths"]
        methods = {"get", "put", "post", "patch", "delete"}
        assert {one.label for one in found} == {
            f"{method.upper()} {path}" for path in paths for method in paths[path] if method in methods
        }
        for operation in found:
            _try(operation, mode, session, headers)
    asgi.shutdown_lifespans()


def _try(operation: Any, mode: GenerationMode, session: Any, headers: dict[str, str]) -> None:
    @TRIED
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        # What JSON Schema cannot say (a text that is no time, one of two members) is refused though it fits the schema;
        # and names in a query that nobody knows are ignored, as everywhere.
        bare = operation.definition.raw.get("requestBody") is None
        excluded = [positive_data_acceptance, *([negative_data_rejection] if bare else [])]
        case.validate_response(case.call(session=session, headers=headers), excluded_checks=excluded)

    with suppress(Unsatisfiable):  # where nothing is asked for, nothing can be asked for wrongly
        check()


# -- a generated client ------------------------------------------------------------------------------------------------


@contextmanager
def listening(house: House) -> Iterator[str]:
    """The service of a house on a port of this machine."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = int(one.getsockname()[1])
    server = uvicorn.Server(uvicorn.Config(house.app, host="127.0.0.1", port=port, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


CALLS = """
import json, sys
from journey_client import AuthenticatedClient
from journey_client.api.insights import query_insights, read_insight
from journey_client.api.jobs import create_job
from journey_client.api.models import read_models
from journey_client.models import CreateJobJobIn, QueryInsightsQueryIn

client = AuthenticatedClient(base_url=sys.argv[1], token=sys.argv[2])
answers = [
    read_insight.sync_detailed("c1", client=client),
    read_insight.sync_detailed("nobody", client=client),
    read_models.sync_detailed(client=client),
    query_insights.sync_detailed(client=client, body=QueryInsightsQueryIn(customer_ids=["c1"])),
    create_job.sync_detailed(client=client, body=CreateJobJobIn.from_dict({"format": "csv"})),
]
print(json.dumps([[int(one.status_code), json.loads(one.content)] for one in answers]))
"""


def test_a_client_generated_from_the_document_works(house: House, tmp_path: Path) -> None:
    pytest.importorskip("openapi_python_client")
    house.batch(track("Test Drive Booked"))
    house.worker.run_until_idle()
    described, made = tmp_path / "openapi.json", tmp_path / "out"
    described.write_text(json.dumps(house.client.get("/openapi.json").json()))
    config = tmp_path / "config.yaml"
    config.write_text("package_name_override: journey_client\nproject_name_override: journey-client\npost_hooks: []\n")
    generate = [sys.executable, "-m", "openapi_python_client", "generate", "--path", str(described), "--output-path",
                str(made), "--config", str(config), "--fail-on-warning"]  # fmt: skip
    done = subprocess.run(generate, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

    key = house.key("read")["Authorization"].removeprefix("Bearer ")
    with listening(house) as base:
        called = subprocess.run([sys.executable, "-c", CALLS, base, key], capture_output=True, text=True, check=False,
                                cwd=made)  # fmt: skip
    assert called.returncode == 0, called.stderr
    (one, unknown, models, many, job) = json.loads(called.stdout)
    assert one == [200, house.insight("c1")]
    assert (unknown[0], unknown[1]["code"]) == (404, "unknown_customer")
    assert models[1]["live"]["version"] == 1
    assert [told["customer_id"] for told in many[1]["insights"]] == ["c1"]
    assert (job[0], job[1]["state"]) == (201, "waiting")

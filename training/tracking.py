"""MLflow's only door: a run with parameters, metrics, plots, data digests. Nothing else imports mlflow, but through
`library`.

Bundles are never found through MLflow (it writes absolute paths): versions/ and live/ are the truth, this is the diary.
A user's MLFLOW_TRACKING_URI wins over the project's own store; nothing global of MLflow's is set.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import platform
import re
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, inspect, text
from sqlalchemy.exc import SQLAlchemyError

from training.processes import alive

EXPERIMENT = "journey-insight"
KIND = {"mlflow.experimentKind": "custom_model_development"}
"""By it MLflow's pages show runs of training, and not conversations."""
PROCESS = "process"
"""The tag that says which process of which machine a run belongs to."""
_LONGEST_PARAMETER, _LONGEST_TAG = 500, 5_000
_AT_ONCE = 100  # what MLflow takes in one call
_FOREIGN = re.compile(r"[^\w.\- ]")  # what MLflow takes in no name
_TALKATIVE = ("mlflow", "alembic")


class TrackingError(RuntimeError):
    """MLflow's store cannot be used; the message says which and why. Nothing was trained."""


def this_process() -> str:
    """Which process of which machine this is, as PROCESS tells it."""
    return f"{platform.node()} {os.getpid()}"


@dataclass(frozen=True)
class Run:
    """An open run; what is logged here is kept even if training fails later. `client` is MLflow's."""

    run_id: str
    client: Any

    def parameters(self, values: Mapping[str, Any]) -> None:
        """Log a nested mapping as dotted parameters."""
        new = library("mlflow.entities").Param
        self._log("params", [new(name, str(value)[:_LONGEST_PARAMETER]) for name, value in _named(values).items()])

    def metrics(self, values: Mapping[str, Any]) -> None:
        """Log the numbers of a nested mapping as dotted metrics; what is no number is left out."""
        new, now = library("mlflow.entities").Metric, time.time_ns() // 1_000_000
        numbers = {k: float(v) for k, v in _named(values).items() if isinstance(v, int | float) and v == v}
        self._log("metrics", [new(name, number, now, 0) for name, number in numbers.items()])

    def tags(self, values: Mapping[str, str]) -> None:
        new = library("mlflow.entities").RunTag
        self._log("tags", [new(name, value[:_LONGEST_TAG]) for name, value in _named(values).items()])

    def table(self, values: Mapping[str, Any], name: str) -> None:
        """Keep a mapping as JSON beside the run."""
        with quietly():
            self.client.log_dict(self.run_id, dict(values), name)

    def files(self, folder: Path, name: str) -> None:
        """Keep a folder of plots beside the run."""
        if any(folder.iterdir()):
            with quietly():
                self.client.log_artifacts(self.run_id, str(folder), name)

    def datasets(self, digests: Mapping[str, str], sources: Mapping[str, str]) -> None:
        """Say which data the run read: a digest and a source for each name, as MLflow's own pages show them."""
        entities = library("mlflow.entities")
        inputs = [
            entities.DatasetInput(
                entities.Dataset(name, digest[:36], "local", json.dumps({"uri": sources.get(name, "")})),
                [entities.InputTag("mlflow.data.context", "training")],
            )
            for name, digest in digests.items()
        ]
        with quietly():
            self.client.log_inputs(self.run_id, inputs)

    def _log(self, kind: str, entities: list[Any]) -> None:
        with quietly():
            for start in range(0, len(entities), _AT_ONCE):
                self.client.log_batch(self.run_id, **{kind: entities[start : start + _AT_ONCE]})


@contextmanager
def open_run(root: Path, name: str, parent: Run | None = None) -> Iterator[Run]:
    """Open a run in the project's store under `root` (made where missing), or in the user's tracking server.

    The run ends FINISHED, or FAILED where an exception leaves the context; with a `parent` it is nested in that.
    Raises TrackingError before anything else.
    """
    with opened(root) as store:
        client, made_by = store.client, {PROCESS: this_process()}
        made_by |= {"mlflow.parentRunId": parent.run_id} if parent else {}
        store.end_orphans()
        run = Run(client.create_run(store.experiment, run_name=name, tags=made_by).info.run_id, client)
    try:
        yield run
    except BaseException:
        with suppress(Exception), quietly():  # what went wrong first is what should be told
            client.set_terminated(run.run_id, "FAILED")
        raise
    with quietly():
        client.set_terminated(run.run_id, "FINISHED")


@dataclass(frozen=True)
class Store:
    """MLflow's store, open: `client` is MLflow's, `experiment` the id of ours, `own` where it is the project's own."""

    client: Any
    uri: str
    experiment: str
    own: bool

    def end_orphans(self) -> None:
        """Runs that a process of this machine left open when it was killed are told as such."""
        open_runs = self.client.search_runs([self.experiment], "attributes.status = 'RUNNING'", max_results=100)
        for run in open_runs:
            node, _, process = run.data.tags.get(PROCESS, "").rpartition(" ")
            if node == platform.node() and not alive(int(process)):
                self.client.set_terminated(run.info.run_id, "KILLED")


@contextmanager
def opened(root: Path) -> Iterator[Store]:
    """The store, made where missing, while MLflow keeps quiet; what goes wrong inside is told as TrackingError."""
    root.mkdir(parents=True, exist_ok=True)
    own = "MLFLOW_TRACKING_URI" not in os.environ
    uri = f"sqlite:///{root.resolve() / 'tracking.db'}" if own else os.environ["MLFLOW_TRACKING_URI"]
    mlflow = library("mlflow")
    try:
        with quietly():
            client = mlflow.MlflowClient(tracking_uri=uri)
            found = client.get_experiment_by_name(EXPERIMENT)
            where = (root / "artifacts").resolve().as_uri() if own else None
            if found and own and found.artifact_location != where:
                _moved(root, found.artifact_location, str(where))
            experiment = found.experiment_id if found else client.create_experiment(EXPERIMENT, where, KIND)
            yield Store(client, uri, experiment, own)
    except (mlflow.exceptions.MlflowException, SQLAlchemyError, OSError) as error:
        place = "the project's own store" if own else "MLFLOW_TRACKING_URI"
        raise TrackingError(f"MLflow cannot write to {uri} ({place}): {str(error).splitlines()[0]}") from error


_PLACES = (
    ("experiments", "artifact_location"), ("runs", "artifact_uri"), ("model_versions", "source"),
    ("model_versions", "storage_location"), ("logged_models", "artifact_location"),
)  # fmt: skip
"""Where MLflow's own store writes absolute paths (its schema of 3.17)."""


def _moved(root: Path, before: str, now: str) -> None:
    """The folder was moved: MLflow wrote down absolute paths, which are put right in its database."""
    engine = create_engine(f"sqlite:///{root.resolve() / 'tracking.db'}")
    with engine.begin() as connection:
        there = {name: {one["name"] for one in inspect(connection).get_columns(name)}
                 for name in inspect(connection).get_table_names()}  # fmt: skip
        for table, column in _PLACES:
            if column in there.get(table, ()):
                connection.execute(
                    text(f"UPDATE {table} SET {column} = :now || substr({column}, :length) "  # noqa: S608 - our own names
                         f"WHERE substr({column}, 1, :length - 1) = :before"),
                    {"now": now, "before": before, "length": len(before) + 1},
                )  # fmt: skip
    engine.dispose()


def library(name: str) -> Any:
    """MLflow, imported on first use: it takes seconds, and most commands never need it. It sends nobody statistics."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(name)


@contextmanager
def quietly() -> Iterator[None]:
    """MLflow's progress and the deprecations of what it builds on are not ours to tell; all is set back afterwards."""
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.WARNING)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _named(values: Mapping[str, Any]) -> dict[str, Any]:
    """Flat, under names that MLflow takes."""
    return {_FOREIGN.sub("_", name): value for name, value in flatten(values).items()}


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted keys of a nested mapping; lists keep their place as a number.

    >>> flatten({"a": {"b": 1}, "c": [2, 3]})
    {'a.b': 1, 'c.0': 2, 'c.1': 3}
    """
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        elif isinstance(value, list | tuple):
            flat |= flatten({str(i): item for i, item in enumerate(value)}, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat

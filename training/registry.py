"""MLflow's registry as a mirror of the ledger: each stored bundle a version of one model, `champion` what is live.

The truth is versions/ and live/; where MLflow says otherwise, or cannot be reached, nothing of it changes, and the next
command puts the mirror right. A version is models-from-code with the bundle as its artifact, so nothing is unpickled.
"""

from __future__ import annotations

import json
import platform
import shutil
from pathlib import Path
from typing import Any

from models.bundle import BundleError, check_manifest
from models.ledger import bundle_folder, current, history
from training.outside import COLUMNS
from training.processes import scratch
from training.tracking import PROCESS, Store, TrackingError, library, opened, quietly, this_process
from training.wheel import PROJECT, pinned, project_wheel

NAME = "journey-insight"
CHAMPION, PREVIOUS, CHALLENGER = "champion", "previous", "challenger"
REGISTERS = "registers"
"""The tag of a run that only writes a bundle down as a version."""
CODE = Path(__file__).with_name("mlflow_model.txt")
EXAMPLE = {"user_id": "ada", "event": "Product Viewed", "occurred_at": "2026-11-21T12:00:00Z", "properties": "{}"}


def mirror(root: Path, *, challenger: str | None = None, catalogue: Path | None = None) -> str | None:
    """Make MLflow say what the ledger says; gives what kept it from doing so, or None.

    `challenger` is the digest of a bundle that was stored and is not live; `catalogue` the rules it was taught with.
    """
    try:
        with opened(root) as store:
            _mirror(store, root, challenger, catalogue)
    except (TrackingError, BundleError, KeyError) as error:  # a bundle of another time may lack what the card tells
        return f"MLflow's mirror of the ledger was left as it was: {error}"
    return None


def _mirror(store: Store, root: Path, challenger: str | None, catalogue: Path | None) -> None:
    _forget_killed(store)
    entries, wanted = history(root), dict[str, str]()
    live = current(root)
    if live is not None:
        wanted[CHAMPION] = live.digest
        before = [one.digest for one in entries if one.digest != live.digest]
        wanted |= {PREVIOUS: before[-1]} if before else {}
    if challenger is not None and (live is None or challenger != live.digest):
        wanted[CHALLENGER] = challenger
    if not wanted:
        return
    aliases = {alias: str(number) for alias, number in _model(store).aliases.items()}
    known = _known(store, root)
    for alias, digest in wanted.items():
        if digest not in known:
            known[digest] = _register(store, root, digest, catalogue)
        if aliases.get(alias) != known[digest]:
            store.client.set_registered_model_alias(NAME, alias, known[digest])
    won = live is not None and aliases.get(CHALLENGER) == known[live.digest] and CHALLENGER not in wanted
    for alias in ([CHALLENGER] if won else []) + ([PREVIOUS] if PREVIOUS in aliases.keys() - wanted else []):
        store.client.delete_registered_model_alias(NAME, alias)


def _model(store: Store) -> Any:
    mlflow = library("mlflow")
    try:
        return store.client.get_registered_model(NAME)
    except mlflow.exceptions.MlflowException:
        about = "What comes next, how likely a purchase is and how people feel. The ledger under live/ is the truth."
        return store.client.create_registered_model(NAME, description=about)


def _known(store: Store, root: Path) -> dict[str, str]:
    """{digest: number} of the versions whose files are still where MLflow wrote them."""
    found = {}
    for one in store.client.search_model_versions(f"name = '{NAME}'", max_results=1000):
        path = Path(one.source.removeprefix("file://"))
        if one.tags.get("bundle") and (not store.own or (path / "MLmodel").is_file()):
            found[one.tags["bundle"]] = str(one.version)
    return found


def _register(store: Store, root: Path, digest: str, catalogue: Path | None) -> str:
    """Write the bundle down as a model of MLflow's, in a run of its own; gives the number of the version."""
    folder = bundle_folder(root, digest)
    manifest = check_manifest(folder)
    tags = {"bundle": digest, PROCESS: this_process(), REGISTERS: digest}
    run = store.client.create_run(store.experiment, run_name=f"register {digest[:12]}", tags=tags)
    with scratch() as folder_of_mine:
        place = folder_of_mine / "model"
        _save(place, folder_of_mine, folder, catalogue, manifest)
        store.client.log_artifacts(run.info.run_id, str(place), "model")
    number = store.client.create_model_version(
        NAME, f"{run.info.artifact_uri}/model", run.info.run_id, tags={"bundle": digest}, description=_card(manifest)
    )
    store.client.set_terminated(run.info.run_id, "FINISHED")  # last: what is not finished was no version yet
    return str(number.version)


def _forget_killed(store: Store) -> None:
    """Remove copies of bundles that somebody was killed over before they were a version: nothing names them."""
    store.end_orphans()
    killed = f"tags.{REGISTERS} != '' AND attributes.status = 'KILLED'"
    for run in store.client.search_runs([store.experiment], killed, max_results=100):
        if store.client.search_model_versions(f"run_id = '{run.info.run_id}'"):
            store.client.set_terminated(run.info.run_id, "FINISHED")
            continue
        store.client.delete_run(run.info.run_id)
        place = Path(run.info.artifact_uri.removeprefix("file://")).parent
        if store.own and place.name == run.info.run_id:
            shutil.rmtree(place, ignore_errors=True)


def _save(place: Path, beside: Path, bundle: Path, catalogue: Path | None, manifest: dict[str, Any]) -> None:
    """A folder that `mlflow.pyfunc.load_model` and `mlflow models serve` take, in an empty environment too."""
    library("mlflow.pyfunc")
    code = beside / "journey_insight_model.py"
    shutil.copyfile(CODE, code)
    wheel = project_wheel(beside)
    needed = pinned(PROJECT, "mlflow-skinny", "pandas")
    if wheel:
        needed = [f"wheels/{wheel.name}", *(one for one in needed if not one.startswith(f"{PROJECT}=="))]
    artifacts = {"bundle": str(bundle)} | ({"catalogue": str(catalogue)} if catalogue else {})
    with quietly():
        library("mlflow.pyfunc").save_model(
            str(place), python_model=str(code), artifacts=artifacts, pip_requirements=needed, signature=_signature(),
            metadata={"bundle": manifest["digest"], "python": platform.python_version()},
        )  # fmt: skip
    if wheel:
        (place / "wheels").mkdir()
        shutil.copyfile(wheel, place / "wheels" / wheel.name)
    _with_example(place)
    (place / "MODEL_CARD.md").write_text(_card(manifest), "utf-8")


def _with_example(place: Path) -> None:
    """Put the example beside the model by hand: MLflow would load the bundle to try it."""
    told = {"columns": list(EXAMPLE), "data": [list(EXAMPLE.values())]}
    (place / "input_example.json").write_text(json.dumps(told) + "\n", "utf-8")
    (place / "serving_input_example.json").write_text(json.dumps({"dataframe_split": told}) + "\n", "utf-8")
    model = library("mlflow.models").Model.load(str(place))
    model.saved_input_example_info = {
        "artifact_path": "input_example.json", "type": "dataframe", "pandas_orient": "split",
        "serving_input_path": "serving_input_example.json",
    }  # fmt: skip
    model.save(str(place / "MLmodel"))


def _signature() -> Any:
    schemas, models = library("mlflow.types"), library("mlflow.models")
    column, text = schemas.ColSpec, schemas.DataType.string
    inputs = [column(text, name, required=name != "properties") for name in COLUMNS]
    outputs = [column(text, name) for name in ("customer_id", "insight")]
    as_of = schemas.ParamSchema([schemas.ParamSpec("as_of", text, "")])
    return models.ModelSignature(schemas.Schema(inputs), schemas.Schema(outputs), as_of)


def _card(manifest: dict[str, Any]) -> str:
    """What it is, what it learned from, how well it did on what it never saw, and what it is not for."""
    learned, figures = manifest["learned_from"], manifest["figures"]
    asked = [("Next touchpoint", figures["next_touchpoint"]), ("Feeling", figures["feeling"])]
    asked += [(f"Purchase: {name}", one) for name, one in figures["purchase"].items()]
    lines = [
        f"| {name} | {one['n']} | {one['log_loss']:.4f} | {one['ece']:.4f} |"
        if one["status"] == "trained"
        else f"| {name} | not trained: {one['reason']} | | |"
        for name, one in asked
    ]
    about = f"{learned['customers']} customers, {learned['touchpoints']} touchpoints, {learned['texts']} texts"
    return "\n".join(
        [
            f"# Journey Insight, bundle {manifest['digest'][:12]}", "",
            f"Learned from {about}, {learned['first_at']} to {learned['last_at']}; seed {learned['seed']}, "
            f"code {learned['code_version']}.", "",
            "Rows of events in (`user_id`, `event`, `occurred_at`, `properties` as JSON), one insight a customer out, "
            "as JSON: what comes next, how likely each target is, how the latest words feel; each decided `auto`, "
            "`review` or `abstain`. The parameter `as_of` sets the moment to answer for.", "",
            "| question | held-out cases | log-loss | ECE |", "|---|---|---|---|", *lines, "",
            "For the company whose data it learned from. It judges no person's credit, health, work or rights, and an "
            "answer decided `review` is for people to decide.", "",
        ]
    )  # fmt: skip

"""A bundle: everything learned, as one folder of data without code. Save, load, check, and conclude with it.

    manifest.json            format, digest, sha256 of every other file, where it was learned from
    measured.json            calibration, sets, bands, the table behind the promise
    next_touchpoint/         net.onnx, markov.safetensors, next_touchpoint.json      each only
    purchase/<target>/       boosting.onnx, purchase.json                            where it
    feedback/                feedback.onnx, tokenizer.json, feedback.json            was trained

Nothing in it runs and nothing is unpickled. A load checks the manifest first. It does not say what is live (ledger.py).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from models.conclude import (
    conclude_feelings,
    conclude_next_touchpoints,
    conclude_purchases,
    feeling_about,
    not_trained,
    purchase_about,
    read_feedback,
    summarise,
)
from models.insight import Conclusion, Insight, ModelVersion, ReleasePolicy, probability
from models.journey.assembly import Feedback
from models.journey.journeys import Ints, Journeys
from models.journey.target import Target
from models.measured import Measured
from models.predictors.feedback import FeedbackPredictor
from models.predictors.next_touchpoint import NextTouchpointPredictor
from models.predictors.purchase import PurchasePredictor

FORMAT = 1
"""Version of the folder's layout; a load refuses any other."""


class BundleError(ValueError):
    """The folder is no bundle, is damaged or has another format; the message names the file and the fix."""


class Bundle(Protocol):
    """Concludes. `digest` is None where there is no bundle."""

    @property
    def digest(self) -> str | None: ...

    def conclude_feedback(self, feedback: Sequence[Feedback], policy: ReleasePolicy) -> list[Conclusion]: ...

    def insights(
        self,
        journeys: Journeys,
        as_of: Ints,
        feelings: Sequence[Conclusion | None],
        model: ModelVersion,
        policy: ReleasePolicy,
    ) -> list[Insight]: ...


@dataclass(frozen=True)
class NoBundle:
    """Before anything was trained: every question is answered `abstain`, with the base rate of what was counted so far.

    >>> NoBundle({"web.visit": 3, "dealer.visit": 1}).base_rates()[0]
    {'touchpoint': 'web.visit', 'probability': 0.75}
    """

    touchpoint_counts: Mapping[str, int]
    digest: None = None

    def base_rates(self) -> list[dict[str, Any]]:
        total = max(1, sum(self.touchpoint_counts.values()))
        ordered = sorted(self.touchpoint_counts.items(), key=lambda item: (-item[1], item[0]))
        return [{"touchpoint": name, "probability": probability(count / total)} for name, count in ordered[:20]]

    def conclude_feedback(self, feedback: Sequence[Feedback], policy: ReleasePolicy) -> list[Conclusion]:
        return [not_trained("feeling", feeling_about(one)) for one in feedback]

    def insights(
        self,
        journeys: Journeys,
        as_of: Ints,
        feelings: Sequence[Conclusion | None],
        model: ModelVersion,
        policy: ReleasePolicy,
    ) -> list[Insight]:
        following = not_trained("next_touchpoint", {}, distribution=self.base_rates())
        seen = journeys.seen_at(as_of)
        return _insights(seen, as_of, feelings, model, [following] * len(seen), [()] * len(seen))


@dataclass(frozen=True)
class LoadedBundle:
    """A bundle ready to conclude. What was not trained is None or empty, and answered `abstain` with `not_trained`."""

    digest: str
    manifest: Mapping[str, Any]
    measured: Measured
    targets: Mapping[str, Target]
    next_touchpoint: NextTouchpointPredictor | None
    purchase: Mapping[str, PurchasePredictor]
    feedback: FeedbackPredictor | None

    def conclude_feedback(self, feedback: Sequence[Feedback], policy: ReleasePolicy) -> list[Conclusion]:
        """One conclusion for each text, in order."""
        if not feedback:
            return []
        if self.feedback is None or self.measured.feeling is None:
            return [not_trained("feeling", feeling_about(one)) for one in feedback]
        texts = [one.text for one in feedback]
        prediction = self.feedback.predict(texts)
        calibrated = self.measured.feeling.temperature.apply(prediction.polarity)
        ratings = [one.rating for one in feedback]
        read = read_feedback(prediction, calibrated, texts, ratings, self.feedback.language)
        return conclude_feelings(feedback, read, self.measured.feeling, policy)

    def insights(
        self,
        journeys: Journeys,
        as_of: Ints,
        feelings: Sequence[Conclusion | None],
        model: ModelVersion,
        policy: ReleasePolicy,
    ) -> list[Insight]:
        """One insight a customer, from what could be seen at `as_of` (C,); `feelings` holds each one's latest."""
        seen = journeys.seen_at(as_of)
        return _insights(
            seen, as_of, feelings, model, self._next(seen, as_of, policy), self._purchases(seen, as_of, feelings)
        )

    def _next(self, seen: Journeys, as_of: Ints, policy: ReleasePolicy) -> list[Conclusion]:
        predictor, measured = self.next_touchpoint, self.measured.next_touchpoint
        if predictor is None or measured is None:
            return [not_trained("next_touchpoint", {}, distribution=self._base_rates())] * len(seen)
        prediction, names = predictor.predict(seen, as_of), predictor.vocabulary.touchpoints
        return conclude_next_touchpoints(prediction, names, seen.lengths, predictor.horizon_seconds, measured, policy)

    def _base_rates(self) -> list[dict[str, Any]]:
        counts: Mapping[str, int] = self.manifest["learned_from"]["touchpoint_counts"]
        return NoBundle(counts).base_rates()

    def _purchases(
        self, seen: Journeys, as_of: Ints, feelings: Sequence[Conclusion | None]
    ) -> list[tuple[Conclusion, ...]]:
        by_target = []
        for name, target in self.targets.items():
            predictor, measured = self.purchase.get(name), (self.measured.purchase or {}).get(name)
            if predictor is None or measured is None:
                by_target.append([not_trained("purchase", purchase_about(target, None))] * len(seen))
                continue
            raw = predictor.predict(seen, as_of)
            by_target.append(conclude_purchases(raw, target, predictor.base_rate, seen.lengths, measured, feelings))
        return [tuple(rows[i] for rows in by_target) for i in range(len(seen))]


def _insights(
    seen: Journeys,
    as_of: Ints,
    feelings: Sequence[Conclusion | None],
    model: ModelVersion,
    following: Sequence[Conclusion],
    purchases: Sequence[tuple[Conclusion, ...]],
) -> list[Insight]:
    silent = not_trained("feeling", {"feedback_id": None, "said_at": None, "channel": None}, "no_feedback")
    summaries = summarise(seen)
    return [
        Insight(customer, int(as_of[i]), model, summaries[i], following[i], purchases[i], feelings[i] or silent)
        for i, customer in enumerate(seen.customers)
    ]


def write_manifest(folder: Path, learned_from: Mapping[str, Any], figures: Mapping[str, Any], **about: Any) -> str:
    """Close a bundle: list every file with its sha256 and return the digest.

    The digest is over everything but the time of creation (which `about` may hold), so the same inputs give the same.
    The seal is over all of the manifest.
    """
    files = {
        path.relative_to(folder).as_posix(): _sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "manifest.json"
    }
    body = {"format": FORMAT, "files": files, "learned_from": dict(learned_from), "figures": dict(figures)}
    digest = hashlib.sha256(_canonical(body)).hexdigest()
    whole = {**about, **body, "digest": digest}
    whole["seal"] = _seal(whole)
    (folder / "manifest.json").write_text(_rendered(whole), "utf-8")
    return digest


def check_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest and check every file against it. Raises BundleError naming the first file that differs."""
    path = folder / "manifest.json"
    if not path.is_file():
        raise BundleError(f"{folder.name} has no manifest.json; it is no bundle, or was not written to its end")
    try:
        text = path.read_text("utf-8")
        manifest: dict[str, Any] = json.loads(text)
        body = {key: manifest[key] for key in ("format", "files", "learned_from", "figures")}
        digest, seal = manifest["digest"], manifest["seal"]
    except (ValueError, KeyError, TypeError, OSError, RecursionError) as error:
        raise BundleError(f"{folder.name}/manifest.json is damaged ({error}); train or copy the bundle again") from None
    if body["format"] != FORMAT:
        found = f"{folder.name}/manifest.json has format {body['format']!r}"
        raise BundleError(f"{found}; this version reads {FORMAT}: train it again")
    if text != _rendered(manifest) or _seal(manifest) != seal or hashlib.sha256(_canonical(body)).hexdigest() != digest:
        raise BundleError(f"{folder.name}/manifest.json was changed after it was written; copy the bundle again")
    present = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} - {"manifest.json"}
    for name in sorted(present ^ set(body["files"])):
        raise BundleError(f"{folder.name}: {name} is {'unknown to' if name in present else 'missing from'} the bundle")
    for name, expected in body["files"].items():
        try:
            whole = _sha256(folder / name) == expected
        except OSError as error:
            raise BundleError(f"{folder.name}/{name} cannot be read: {error.strerror}") from None
        if not whole:
            raise BundleError(f"{folder.name}/{name} is damaged: its checksum differs; copy the bundle again")
    return manifest


def load_bundle(folder: Path, threads: int = 1) -> LoadedBundle:
    """Check a bundle and open its predictors, `threads` for each graph. Raises BundleError."""
    manifest = check_manifest(folder)
    try:
        measured = Measured.from_dict(json.loads((folder / "measured.json").read_text("utf-8")))
        targets = [Target.from_dict(one) for one in manifest["learned_from"]["targets"]]
        purchases = {one.name: folder / "purchase" / one.name for one in targets}
        following, feedback = folder / "next_touchpoint", folder / "feedback"
        return LoadedBundle(
            digest=manifest["digest"],
            manifest=manifest,
            measured=measured,
            targets={one.name: one for one in targets},
            next_touchpoint=NextTouchpointPredictor.load(following, threads) if following.is_dir() else None,
            purchase={n: PurchasePredictor.load(path, threads) for n, path in purchases.items() if path.is_dir()},
            feedback=FeedbackPredictor.load(feedback, threads) if feedback.is_dir() else None,
        )
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise BundleError(f"{folder.name} cannot be loaded: {error}") from error


def _rendered(manifest: Mapping[str, Any]) -> str:
    return json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _seal(manifest: Mapping[str, Any]) -> str:
    """Sha256 of everything in a manifest but the seal itself."""
    return hashlib.sha256(_canonical({key: manifest[key] for key in manifest if key != "seal"})).hexdigest()


def _canonical(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

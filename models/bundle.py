"""A bundle: everything learned, as one folder of data without code. Save, load, check, and conclude with it.

    manifest.json            format, digest, sha256 of every other file, where it was learned from
    measured.json            calibration, sets, bands, the table behind the promise
    next_touchpoint/         net.onnx, markov.safetensors, next_touchpoint.json      each only
    purchase/<target>/       boosting.onnx, trees.safetensors, purchase.json         where it
    feedback/                feedback.onnx, tokenizer.json, feedback.json            was trained
    channel/                 channel.json

Nothing in it runs and nothing is unpickled. A load checks the manifest first. It does not say what is live (ledger.py).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from models.conclude import (
    conclude_feelings,
    conclude_next_touchpoints,
    conclude_purchases,
    feeling_about,
    latest_feelings,
    not_trained,
    purchase_about,
    read_feedback,
    summarise,
)
from models.concluded import Concluded, felt
from models.decided import Decided
from models.features.text import content_hash
from models.insight import Behind, Conclusion, Insight, ModelVersion, ReleasePolicy, probability
from models.journey.assembly import Feedback
from models.journey.journeys import Ints, Journeys
from models.journey.target import Target
from models.measured import Measured
from models.predictors.channel import ChannelPredictor
from models.predictors.feedback import POLARITIES, REMEMBERED, FeedbackPredictor
from models.predictors.next_touchpoint import NextTouchpointPredictor
from models.predictors.purchase import PurchasePredictor
from models.predictors.stacking import Following, Said
from models.predictors.why import why_next
from models.predictors.why_feeling import ORDERS, why_feeling
from models.predictors.why_purchase import why_purchase
from models.reference import Reference, Sample

FORMAT = 1
"""Version of the folder's layout; a load refuses any other."""


class BundleError(ValueError):
    """The folder is no bundle, is damaged or has another format; the message names the file and the fix."""


class Bundle(Protocol):
    """Concludes: about words one by one, about customers in columns. `digest` is None where there is no bundle."""

    @property
    def digest(self) -> str | None: ...

    def conclude_feedback(self, feedback: Sequence[Feedback], policy: ReleasePolicy) -> list[Conclusion]: ...

    def concluded(
        self,
        journeys: Journeys,
        as_of: Ints,
        feelings: Sequence[Conclusion | None],
        model: ModelVersion,
        policy: ReleasePolicy,
    ) -> Concluded: ...

    def explained(
        self, insights: Sequence[Insight], journeys: Journeys, as_of: Ints, said: Sequence[Feedback | None]
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

    def concluded(
        self,
        journeys: Journeys,
        as_of: Ints,
        feelings: Sequence[Conclusion | None],
        model: ModelVersion,
        policy: ReleasePolicy,
    ) -> Concluded:
        following = not_trained("next_touchpoint", {}, distribution=self.base_rates())
        seen = journeys.seen_at(as_of)
        return Concluded(
            seen.customers, as_of, model, summarise(seen), Decided.same(following, len(seen)), (), felt(feelings),
            lambda: [()] * len(seen),
        )  # fmt: skip

    def explained(
        self, insights: Sequence[Insight], journeys: Journeys, as_of: Ints, said: Sequence[Feedback | None]
    ) -> list[Insight]:
        return list(insights)


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
    channel: ChannelPredictor | None = None
    reference: Reference = field(default_factory=Reference)

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

    def concluded(
        self,
        journeys: Journeys,
        as_of: Ints,
        feelings: Sequence[Conclusion | None],
        model: ModelVersion,
        policy: ReleasePolicy,
    ) -> Concluded:
        """About every customer, from what could be seen at `as_of` (C,); `feelings` holds each one's latest."""
        seen = journeys.seen_at(as_of)
        said = self.said(seen, as_of, feelings)
        purchases, behind = self._purchases(seen, as_of, said, feelings)
        preferences = self.channel.preferences(seen, as_of) if self.channel else None
        return Concluded(
            seen.customers, as_of, model, summarise(seen, preferences), self._next(seen, said, policy), purchases,
            felt(feelings), behind,
        )  # fmt: skip

    def explained(
        self, insights: Sequence[Insight], journeys: Journeys, as_of: Ints, said: Sequence[Feedback | None]
    ) -> list[Insight]:
        """The same insights of these journeys at `as_of` (C,), with `why` beside each answer that can be explained:
        what comes next, how likely each target is, and how the latest words, `said` (C,), feel. Where there is no
        answer of ours there is no why.
        """
        return [
            self._explained(
                one, journeys.take(np.array([row])).seen_at(as_of[row : row + 1]), as_of[row : row + 1], said[row]
            )
            for row, one in enumerate(insights)
        ]

    def _explained(self, insight: Insight, seen: Journeys, moment: Ints, words: Feedback | None) -> Insight:
        following, measured = insight.next_touchpoint, self.measured.next_touchpoint
        if self.next_touchpoint is not None and measured is not None and following.answer is not None:
            why = why_next(self.next_touchpoint, measured.scaling.apply, seen, moment)
            following = following.explained(why.to_dict())
        purchases = insight.purchase
        if any(one.answer is not None for one in purchases):
            said = self.said(seen, moment, [insight.feeling])
            purchases = tuple(
                one
                if one.answer is None
                else one.explained(why_purchase(self.purchase[one.about["definition"]], seen, moment, said).to_dict())
                for one in purchases
            )
        feeling = insight.feeling
        if words is not None and feeling.answer in POLARITIES and feeling.decided_by == "model":
            feeling = feeling.explained(self.why_words(words.text, str(feeling.answer)))
        return replace(insight, next_touchpoint=following, purchase=purchases, feeling=feeling)

    def why_words(self, text: str, answer: str, orders: int = ORDERS) -> Mapping[str, Any]:
        """How much each word moved the confidence in this answer; of one text always the same.

        Fewer orders of the words take less time and tell the weights less exactly.
        """
        predictor, measured, index = self.feedback, self.measured.feeling, POLARITIES.index(answer)
        if predictor is None or measured is None:
            return {}
        calibrate = measured.temperature.apply

        def score(texts: Sequence[str]) -> NDArray[np.float64]:
            return np.asarray(calibrate(predictor.predict(texts, remember=False).polarity)[:, index])

        rng = np.random.default_rng(int(content_hash(text)[:16], 16))
        return why_feeling(text, score, rng, orders).to_dict()

    def said(self, seen: Journeys, as_of: Ints, feelings: Sequence[Conclusion | None]) -> Said:
        """What is said of each journey beside its behaviour: one answer, concluded from and built upon."""
        predictor = self.next_touchpoint
        following = Following(predictor.predict(seen, as_of), predictor.vocabulary) if predictor else None
        return Said(following, latest_feelings(feelings, as_of))

    def _next(self, seen: Journeys, said: Said, policy: ReleasePolicy) -> Decided:
        predictor, measured = self.next_touchpoint, self.measured.next_touchpoint
        if predictor is None or measured is None or said.following is None:
            unknown = not_trained("next_touchpoint", {}, distribution=self._base_rates())
            return Decided.same(unknown, len(seen))
        prediction, names = said.following.prediction, predictor.vocabulary.touchpoints
        return conclude_next_touchpoints(prediction, names, seen, predictor.horizon_seconds, measured, policy)

    def _no_purchase(self, target: Target) -> Conclusion:
        """Of a target that could not be learned: how often it follows, if that was counted, and nothing else."""
        rate = self.manifest["learned_from"].get("base_rates", {}).get(target.name)
        return not_trained("purchase", purchase_about(target, rate), interval=[0.0, 1.0], confidence=0.0)

    def _base_rates(self) -> list[dict[str, Any]]:
        counts: Mapping[str, int] = self.manifest["learned_from"]["touchpoint_counts"]
        return NoBundle(counts).base_rates()

    def _purchases(
        self, seen: Journeys, as_of: Ints, said: Said, feelings: Sequence[Conclusion | None]
    ) -> tuple[tuple[Decided, ...], Callable[[], list[tuple[Behind, ...]]]]:
        """The conclusions on each target, and what stands behind those that are not `not_trained`."""
        by_target, taken = list[Decided](), list[tuple[Target, PurchasePredictor, NDArray[np.float32]]]()
        for name, target in self.targets.items():
            predictor, measured = self.purchase.get(name), (self.measured.purchase or {}).get(name)
            if predictor is None or measured is None:
                by_target.append(Decided.same(self._no_purchase(target), len(seen)))
                continue
            features = predictor.features(seen, as_of, said)
            raw = predictor.predict_from(features, seen)
            by_target.append(conclude_purchases(raw, target, predictor.base_rate, seen.lengths, measured, feelings))
            taken.append((target, predictor, features))

        def behind() -> list[tuple[Behind, ...]]:
            made = [
                [Behind(target, channel, predictor.feature_names, tuple(values)) for channel, values in rows]
                for target, predictor, features in taken
                for rows in [zip(seen.last_channels, features.tolist(), strict=True)]
            ]
            return list(zip(*made, strict=True)) if made else [()] * len(seen)

        return tuple(by_target), behind


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


def load_bundle(folder: Path, threads: int = 1, remembered: int = REMEMBERED) -> LoadedBundle:
    """Check a bundle and open its predictors, `threads` for each graph. Raises BundleError.

    `remembered`: answers about texts that are kept, for texts that come again.
    """
    manifest = check_manifest(folder)
    try:
        measured = Measured.from_dict(json.loads((folder / "measured.json").read_text("utf-8")))
        targets = [Target.from_dict(one) for one in manifest["learned_from"]["targets"]]
        purchases = {one.name: folder / "purchase" / one.name for one in targets}
        following, feedback, channel = folder / "next_touchpoint", folder / "feedback", folder / "channel"
        return LoadedBundle(
            digest=manifest["digest"],
            manifest=manifest,
            measured=measured,
            targets={one.name: one for one in targets},
            next_touchpoint=NextTouchpointPredictor.load(following, threads) if following.is_dir() else None,
            purchase={n: PurchasePredictor.load(path, threads) for n, path in purchases.items() if path.is_dir()},
            feedback=FeedbackPredictor.load(feedback, threads, remembered) if feedback.is_dir() else None,
            channel=ChannelPredictor.load(channel) if channel.is_dir() else None,
            reference=_reference(feedback, purchases),
        )
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise BundleError(f"{folder.name} cannot be loaded: {error}") from error


def _reference(feedback: Path, purchases: Mapping[str, Path]) -> Reference:
    found = {name: Sample.load(folder) for name, folder in purchases.items()}
    return Reference(Sample.load(feedback), {name: one for name, one in found.items() if one is not None})


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

"""How do they feel: answers from an exported net, with ONNX Runtime, numpy and a tokenizer only.

It loads, predicts, explains and names what should make a person look (`text_flags`). It does not learn
(`training/feedback.py`), does not say how far to trust an answer (`models/confidence`), and decides nothing.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from tokenizers import Tokenizer

from models.features.cues import language, lexical_cues
from models.features.text import MAX_CHARACTERS, content_hash, encode_texts, load_tokenizer
from models.predictors.domain import Domain
from models.predictors.emotions import EMOTIONS, MeasuredEmotions
from models.predictors.predictor import PredictorError, open_session
from models.predictors.remembered import Remembered

__all__ = [
    "EMOTIONS",
    "HEADS",
    "NUANCES",
    "POLARITIES",
    "FeedbackPredictor",
    "FeelingPrediction",
    "text_flags",
]

FORMAT = 1
"""Version of the folder: feedback.json, feedback.onnx, tokenizer.json. A load refuses any other."""

POLARITIES = ("negative", "neutral", "positive", "mixed")
NUANCES = ("plain", "mixed", "ironic", "resigned", "grateful_but_hurt", "politely_angry")
HEADS = ("polarity", "emotions", "nuance", "intensity")
_WIDTHS = {"polarity": len(POLARITIES), "emotions": len(EMOTIONS), "nuance": len(NUANCES), "intensity": 2}
INTENSITY_LIMIT = 4.0
"""Intensity runs from -4 (as bad as can be) to 4 (as good as can be)."""

_NUANCE_FLAGS = {
    "mixed": "mixed_feelings",
    "ironic": "sarcasm_cue",
    "resigned": "resignation",
    "grateful_but_hurt": "mixed_feelings",
    "politely_angry": "polite_anger",
}


@dataclass(frozen=True, slots=True)
class FeelingPrediction:
    """What n texts are predicted to feel. A head that was not trained is None.

    Attributes:
        polarity: (n, 4) probabilities in the order of `POLARITIES`, each row summing to 1.
        emotions: (n, 28) probabilities in the order of `EMOTIONS`, each its own yes or no and calibrated by itself.
        nuance: (n, 6) probabilities in the order of `NUANCES`, each row summing to 1.
        intensity_mean: (n,) on -4..4.
        intensity_spread: (n,) standard deviation to expect among readers; where only weak labels (stars) taught it, the
            standard deviation of what is left unexplained.
        truncated: (n,) bool, True where the net did not see the whole text.
        tokens: (n,) int64, how many tokens it saw, special ones included.
        weak_labels: True where stars, not readers, taught it.
        emotions_felt: (n, 28) bool, which are answered; emotions_possible: (n, 28) bool, which cannot be ruled out.
        strange: (n,) bool, True where a text is unlike those that taught; None where too few did to tell.
    """

    polarity: NDArray[np.float64]
    emotions: NDArray[np.float64] | None
    nuance: NDArray[np.float64] | None
    intensity_mean: NDArray[np.float64] | None
    intensity_spread: NDArray[np.float64] | None
    truncated: NDArray[np.bool_]
    tokens: NDArray[np.int64]
    weak_labels: bool = False
    emotions_felt: NDArray[np.bool_] | None = None
    emotions_possible: NDArray[np.bool_] | None = None
    strange: NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True)
class FlagThresholds:
    """When a text is flagged. Chosen, not measured: a flag asks a person to look and changes no probability."""

    nuance: float = 0.5
    """Probability of a nuance other than plain from which it is flagged."""
    margin: float = 0.15
    """Difference of the two likeliest polarities below which the answer is a toss-up."""
    least_words: int = 3
    """Fewer words than this say too little."""
    spread: float = 1.5
    """Standard deviation among readers (on -4..4) from which they would split."""
    language: float = 0.7
    """Probability of the likeliest language from which a text in another one is flagged."""


REMEMBERED = 4096
"""Answers kept by default, for texts that come again: some 300 bytes each."""
POOLED = "pooled"
"""The output of the graph that holds the vector which the heads read of each text."""


@dataclass(frozen=True, slots=True)
class _Row:
    """What the net said of one text: every head's logits in a row, whether it saw all of it, how many tokens it saw,
    and whether the text is a stranger."""

    logits: NDArray[np.float32]
    truncated: bool
    tokens: int
    strange: bool


class FeedbackPredictor:
    """Answers how texts feel. Safe to share between threads: what changes after it is loaded is what it remembers.

    Attributes:
        heads: what was trained, some of `HEADS`.
        weak_labels: True where star ratings, not readers, said how texts feel.
        language: ISO 639 code of the language it was taught in.
        max_tokens: tokens it reads of one text.
    """

    def __init__(
        self,
        session: ort.InferenceSession,
        tokenizer: Tokenizer,
        description: dict[str, Any],
        remembered: int = REMEMBERED,
        domain: Domain | None = None,
    ) -> None:
        self._session = session
        self._tokenizer = tokenizer
        self.heads: tuple[str, ...] = tuple(description["heads"])
        self.weak_labels = bool(description["weak_labels"])
        self.language = str(description["language"])
        self.max_tokens = int(description["max_tokens"])
        measured = description.get("emotions")
        self._emotions = MeasuredEmotions.from_dict(measured) if measured else MeasuredEmotions.nothing()
        self._remembered = Remembered[_Row](remembered)
        self._domain = domain

    @classmethod
    def load(cls, folder: Path, threads: int = 1, remembered: int = REMEMBERED) -> "FeedbackPredictor":
        """Load a folder written by training. It is data only: nothing in it runs.

        Args:
            folder: feedback.onnx, tokenizer.json, feedback.json.
            threads: processor threads of one answer.
            remembered: how many answers are kept for texts that come again; 0 keeps none.

        Raises:
            PredictorError: a file is missing or broken, or the format is another version's.
        """
        session = open_session(folder / "feedback.onnx", threads)
        try:
            description = json.loads((folder / "feedback.json").read_text(encoding="utf-8"))
            _check(description)
            serialised = (folder / "tokenizer.json").read_text(encoding="utf-8")
            tokenizer = load_tokenizer(serialised, int(description["max_tokens"]))
            return cls(session, tokenizer, description, remembered, Domain.load(folder))
        # What is missing, torn or foreign shows as many kinds of error; the tokenizers library raises bare Exception.
        except Exception as error:
            raise PredictorError(f"{folder.name}/ is no readable feedback predictor: {error}") from error

    def predict(self, texts: Sequence[str], batch_size: int = 32, *, remember: bool = True) -> FeelingPrediction:
        """What each text feels. Texts are batched by length and answered in the order given; none is a batch of none.

        A text alone and in any batch agree to 1e-6 in every probability. Without `remember` nothing of them is kept.
        """
        if not (remember and self._remembered.most):
            return self._told(self._run(texts, batch_size))
        keys = [content_hash(text) for text in texts]
        rows = self._remembered.find(keys)
        new = [index for index, row in enumerate(rows) if row is None]
        for index, row in zip(new, self._run([texts[index] for index in new], batch_size), strict=True):
            rows[index] = row
        known = [row for row in rows if row is not None]
        self._remembered.keep([keys[index] for index in new], [known[index] for index in new])
        return self._told(known)

    def embed(self, texts: Sequence[str], batch_size: int = 32) -> NDArray[np.float32] | None:
        """(n, d) the vector that the heads read of each text; None where the graph tells none. Remembers nothing."""
        if POOLED not in {one.name for one in self._session.get_outputs()} or not texts:
            return None
        encoded = encode_texts(self._tokenizer, texts)
        tokens = encoded.attention_mask.sum(axis=1)
        order = np.argsort(tokens, kind="stable")
        found: dict[int, NDArray[np.float32]] = {}
        for first in range(0, len(order), batch_size):
            rows = order[first : first + batch_size]
            width = int(tokens[rows].max())
            batch = {"input_ids": encoded.input_ids[rows, :width],
                     "attention_mask": encoded.attention_mask[rows, :width]}  # fmt: skip
            found |= dict(zip(rows.tolist(), self._session.run([POOLED], batch)[0], strict=True))
        return np.stack([found[row] for row in range(len(texts))])

    def _run(self, texts: Sequence[str], batch_size: int) -> list[_Row]:
        """Ask the net about each text, in batches of like length."""
        encoded = encode_texts(self._tokenizer, texts)
        tokens = encoded.attention_mask.sum(axis=1)
        order = np.argsort(tokens, kind="stable")
        found: dict[int, _Row] = {}
        for first in range(0, len(order), batch_size):
            rows = order[first : first + batch_size]
            width = int(tokens[rows].max())
            batch = {
                "input_ids": encoded.input_ids[rows, :width],
                "attention_mask": encoded.attention_mask[rows, :width],
            }
            asked = [*self.heads, *([POOLED] if self._domain else [])]
            told = self._session.run(asked, batch)
            said = np.concatenate(told[: len(self.heads)], axis=1)
            strange = self._domain.strange(told[-1]) if self._domain else np.zeros(len(rows), dtype=np.bool_)
            for place, row in enumerate(rows.tolist()):
                found[row] = _Row(said[place], bool(encoded.truncated[row]), int(tokens[row]), bool(strange[place]))
        return [found[row] for row in range(len(texts))]

    def _told(self, rows: Sequence[_Row]) -> FeelingPrediction:
        """What the net said of n texts, as probabilities."""
        widths = [_WIDTHS[name] for name in self.heads]
        said = np.array([row.logits for row in rows], dtype=np.float64).reshape(len(rows), sum(widths))
        logits = dict(zip(self.heads, np.split(said, np.cumsum(widths)[:-1], axis=1), strict=True))
        truncated = np.array([row.truncated for row in rows], dtype=np.bool_)
        tokens = np.array([row.tokens for row in rows], dtype=np.int64)
        strange = np.array([row.strange for row in rows], dtype=np.bool_) if self._domain else None
        told = replace(_prediction(logits, truncated, tokens), weak_labels=self.weak_labels, strange=strange)
        if told.emotions is None:
            return told
        emotions = self._emotions.calibrate(told.emotions)
        felt, possible = self._emotions.felt(emotions), self._emotions.possible(emotions)
        return replace(told, emotions=emotions, emotions_felt=felt, emotions_possible=possible)


def _check(description: Any) -> None:
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise ValueError(f"feedback.json must have 'format': {FORMAT}; train again with this version.")
    heads = description["heads"]
    unknown = [name for name in heads if name not in HEADS]
    if unknown or "polarity" not in heads:
        raise ValueError(f"feedback.json names heads {heads}; polarity is needed, allowed are {list(HEADS)}.")
    ours = {"polarity": list(POLARITIES), "emotions": list(EMOTIONS), "nuance": list(NUANCES)}
    if description["labels"] != {name: ours[name] for name in heads if name in ours}:
        raise ValueError("feedback.json has other labels than this version; train again with this version.")


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    exponent = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: NDArray[np.float64] = exponent / exponent.sum(axis=1, keepdims=True)
    return shares


def _prediction(
    logits: dict[str, NDArray[np.float64]], truncated: NDArray[np.bool_], tokens: NDArray[np.int64]
) -> FeelingPrediction:
    """Logits as probabilities."""
    emotions, nuance, intensity = logits.get("emotions"), logits.get("nuance"), logits.get("intensity")
    return FeelingPrediction(
        polarity=_softmax(logits["polarity"]),
        emotions=None if emotions is None else 1 / (1 + np.exp(-emotions)),
        nuance=None if nuance is None else _softmax(nuance),
        intensity_mean=None if intensity is None else np.clip(intensity[:, 0], -INTENSITY_LIMIT, INTENSITY_LIMIT),
        intensity_spread=None if intensity is None else np.exp(np.clip(intensity[:, 1], -4, np.log(INTENSITY_LIMIT))),
        truncated=truncated,
        tokens=tokens,
    )


def text_flags(
    prediction: FeelingPrediction,
    texts: Sequence[str],
    *,
    expected_language: str = "en",
    thresholds: FlagThresholds | None = None,
) -> list[list[str]]:
    """Codes of what should make a person look at each text, sorted; most texts have none.

    mixed_feelings, sarcasm_cue, resignation, polite_anger: from the nuance head where it was trained, and (but for
    mixed_feelings, which the answer `mixed` also gives) from phrases. negated_praise: praise said by denying the bad
    ("never once disappointed") that was not answered positive. out_of_domain: unlike what taught. low_margin,
    raters_would_split (never
    where stars taught the spread): from the numbers. too_short, other_language, urgent (self-harm, threat, law,
    safety): from the text. Phrases are English and are looked for only where English is expected.

    Args:
        prediction: of these texts, n rows.
        texts: the n texts, as they were given to `predict`.
        expected_language: ISO 639 code that the predictor was taught in (`FeedbackPredictor.language`).
        thresholds: when to flag; the defaults where None.
    """
    limits = thresholds or FlagThresholds()
    if len(texts) != len(prediction.polarity):
        raise ValueError(f"texts: {len(texts)} given, but the prediction has {len(prediction.polarity)} rows.")
    flags = []
    for row, text in enumerate(texts):
        codes = _flags_of_numbers(prediction, row, limits) | _flags_of_words(text, expected_language, limits)
        if POLARITIES[int(prediction.polarity[row].argmax())] == "positive":
            codes.discard("negated_praise")
        flags.append(sorted(codes))
    return flags


def _flags_of_numbers(prediction: FeelingPrediction, row: int, limits: FlagThresholds) -> set[str]:
    polarity = prediction.polarity[row]
    second, first = np.sort(polarity)[-2:]
    codes = {"low_margin"} if first - second < limits.margin else set()
    if POLARITIES[int(polarity.argmax())] == "mixed":
        codes.add("mixed_feelings")
    if prediction.nuance is not None:
        named = zip(NUANCES, prediction.nuance[row], strict=True)
        codes |= {_NUANCE_FLAGS[name] for name, share in named if name in _NUANCE_FLAGS and share >= limits.nuance}
    # Stars say nothing about readers: a spread that they taught is an error of the net, not a disagreement.
    spread = None if prediction.weak_labels else prediction.intensity_spread
    if spread is not None and spread[row] >= limits.spread:
        codes.add("raters_would_split")
    if prediction.strange is not None and prediction.strange[row]:
        codes.add("out_of_domain")
    return codes


def _flags_of_words(text: str, expected_language: str, limits: FlagThresholds) -> set[str]:
    if len(text[:MAX_CHARACTERS].split()) < limits.least_words:
        return {"too_short"} | (set(lexical_cues(text)) if expected_language == "en" else set())
    codes = set(lexical_cues(text)) if expected_language == "en" else set()
    code, probability = language(text)
    if code != expected_language and probability >= limits.language:
        codes.add("other_language")
    return codes

"""What comes next, and when: a net exported to ONNX and a Markov model, mixed by weights learned on held-out time.

Answers from ONNX Runtime and numpy; fits nothing (`training/next_touchpoint.py`) and calibrates nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from models.features.sequence import Sequences, encode_sequences
from models.features.vocabulary import Vocabulary
from models.journey.journeys import Ints, Journeys
from models.predictors.about import read_about
from models.predictors.baseline import Floats, InterpolatedMarkov
from models.predictors.gap import GapMixture
from models.predictors.predictor import NextTouchpointPrediction, PredictorError, open_session

FORMAT_VERSION = 2
NET_FILE, MARKOV_FILE, ABOUT_FILE = "net.onnx", "markov.safetensors", "next_touchpoint.json"
LEVELS = np.array([0.1, 0.5, 0.9])
_BATCH = 32
"""So few have nearly the same length, and a short journey is not padded to a long one."""


@dataclass(frozen=True)
class MixtureWeights:
    """How far to trust the net against the Markov model, by how many touchpoints are known.

    `weights[i]` is for journeys of at most `up_to[i]` touchpoints (the last weight for all longer ones).

    >>> MixtureWeights((1, 4), (0.2, 0.6, 0.9)).of(np.array([1, 2, 4, 5]))
    array([0.2, 0.6, 0.6, 0.9])
    """

    up_to: tuple[int, ...]
    weights: tuple[float, ...]

    def of(self, lengths: Ints) -> Floats:
        """(C,) the weight of the net for journeys of these lengths (C,)."""
        return np.array(self.weights, dtype=np.float64)[self.bucket(lengths)]

    def bucket(self, lengths: Ints) -> Ints:
        return np.searchsorted(np.array(self.up_to, dtype=np.int64), lengths)


@dataclass(frozen=True)
class NextTouchpointPredictor:
    """Loaded from a folder of net.onnx, markov.safetensors and next_touchpoint.json."""

    vocabulary: Vocabulary
    horizon_seconds: int
    length: int
    mixture: MixtureWeights
    markov: InterpolatedMarkov
    base_none_within_horizon: float
    base_expected_in_seconds: Floats
    _net: onnxruntime.InferenceSession

    @classmethod
    def load(cls, folder: Path, threads: int = 1) -> Self:
        """Raises PredictorError for a missing, damaged or foreign file."""
        about = read_about(folder / ABOUT_FILE, FORMAT_VERSION)
        try:
            return cls(
                vocabulary=Vocabulary.from_dict(about["vocabulary"]),
                horizon_seconds=int(about["horizon_seconds"]),
                length=int(about["length"]),
                mixture=MixtureWeights(tuple(about["mixture"]["up_to"]), tuple(about["mixture"]["weights"])),
                markov=InterpolatedMarkov.load(folder / MARKOV_FILE),
                base_none_within_horizon=float(about["base"]["none_within_horizon"]),
                base_expected_in_seconds=np.array(about["base"]["expected_in_seconds"], dtype=np.float64),
                _net=open_session(folder / NET_FILE, threads),
            )
        except (KeyError, TypeError) as error:
            raise PredictorError(f"{ABOUT_FILE} in {folder.name}/ lacks {error}; train the bundle again") from error

    def predict(self, seen: Journeys, as_of: Ints) -> NextTouchpointPrediction:
        """The next touchpoint for journeys already cut by `seen_at(as_of)` (C,). Empty ones get the base rates."""
        rows = encode_sequences(seen, as_of, self.vocabulary, self.length)
        distribution, gap_parameters = self._distribution(rows)
        some = np.flatnonzero(rows.lengths > 0)
        none = np.full(len(seen), self.base_none_within_horizon)
        expected = np.tile(self.base_expected_in_seconds, (len(seen), 1))
        if gap_parameters is not None:
            gap, silence = GapMixture.of(gap_parameters), rows.silence_seconds[some]
            none[some] = gap.none_within(silence, self.horizon_seconds)
            expected[some] = gap.quantiles(silence, LEVELS)
        return NextTouchpointPrediction(distribution, none, expected)

    def distribution(self, seen: Journeys, as_of: Ints) -> Floats:
        """(C, K) what `predict` says of what comes, without when: several times faster."""
        return self._distribution(encode_sequences(seen, as_of, self.vocabulary, self.length))[0]

    def _distribution(self, rows: Sequences) -> tuple[Floats, NDArray[np.float32] | None]:
        """(C, K), and the gap parameters of those with a history; None where nobody has one."""
        chance, some = self.markov.predict(rows.tokens, rows.lengths), np.flatnonzero(rows.lengths > 0)
        if not len(some):
            return chance, None
        logits, gap_parameters = self._run(rows, some)
        weight = self.mixture.of(rows.lengths[some])[:, None]
        chance[some] = weight * softmax(logits) + (1 - weight) * chance[some]
        return chance, gap_parameters

    def gap(self, seen: Journeys, as_of: Ints) -> tuple[GapMixture, NDArray[np.float64]]:
        """The time from each last touchpoint to the next as a distribution, and the silence (C,) since.

        Raises ValueError for an empty journey.
        """
        rows = encode_sequences(seen, as_of, self.vocabulary, self.length)
        if not (rows.lengths > 0).all():
            raise ValueError("a journey is empty: there is no last touchpoint to count from; leave it out")
        return GapMixture.of(self._run(rows, np.arange(len(seen)))[1]), rows.silence_seconds

    def baseline(self, seen: Journeys, as_of: Ints) -> Floats:
        """(C, K) what the Markov model alone says."""
        rows = encode_sequences(seen, as_of, self.vocabulary, self.length)
        return self.markov.predict(rows.tokens, rows.lengths)

    def _run(self, rows: Sequences, some: Ints) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Logits (S, K) and gap parameters (S, 3M+1) of these rows; those of like length run together."""
        order = some[np.argsort(rows.lengths[some], kind="stable")]
        parts = []
        for start in range(0, len(order), _BATCH):
            batch = order[start : start + _BATCH]
            longest = int(rows.lengths[batch].max())
            parts.append(
                self._net.run(
                    None,
                    {
                        "tokens": np.ascontiguousarray(rows.tokens[batch, :longest]),
                        "log_gaps": np.ascontiguousarray(rows.log_gaps[batch, :longest]),
                        "lengths": rows.lengths[batch],
                    },
                )
            )
        back = np.argsort(np.argsort(rows.lengths[some], kind="stable"), kind="stable")
        logits, gap_parameters = (np.concatenate(part)[back] for part in zip(*parts, strict=True))
        return logits, gap_parameters


def softmax(logits: NDArray[np.floating]) -> Floats:
    """(C, K) probabilities in float64; rows sum to 1."""
    wide = logits.astype(np.float64)
    powers = np.exp(wide - wide.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float64)

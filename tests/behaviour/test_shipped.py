"""The reader of feelings that comes with the product reaches every floor of the suite, in the form that is served."""

import numpy as np
import pytest

from models.predictors.feedback import FeedbackPredictor
from training.behaviour.suite import reader_of, run_suite
from training.feedback import build_start
from training.nuanced import nuanced_sentences


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> FeedbackPredictor:
    folder = tmp_path_factory.mktemp("shipped") / "built"
    build_start("pretrained", folder)
    return FeedbackPredictor.load(folder)


def test_the_shipped_reader_reaches_every_floor(shipped: FeedbackPredictor) -> None:
    found = run_suite(reader_of(shipped))
    below = {one.name: (one.rate, one.floor, one.failures) for one in found if not one.holds}
    assert below == {}


def test_a_text_alone_is_read_as_in_any_batch_in_int8_too(shipped: FeedbackPredictor) -> None:
    rng = np.random.default_rng(0)
    said = [one.text for one in nuanced_sentences(1, rng)]
    texts = [" ".join(rng.permutation(said)[: rng.integers(1, 6)]) for _ in range(60)]
    together = shipped.predict(texts, remember=False)
    assert together.emotions is not None
    for row, text in enumerate(texts):
        alone = shipped.predict([text], remember=False)
        assert alone.emotions is not None
        np.testing.assert_allclose(alone.polarity[0], together.polarity[row], atol=1e-6)
        np.testing.assert_allclose(alone.emotions[0], together.emotions[row], atol=1e-6)

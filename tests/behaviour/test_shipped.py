"""The reader of feelings that comes with the product reaches every floor of the suite, in the form that is served."""

from pathlib import Path

from models.predictors.feedback import FeedbackPredictor
from training.behaviour.suite import reader_of, run_suite
from training.feedback import build_start


def test_the_shipped_reader_reaches_every_floor(tmp_path: Path) -> None:
    build_start("pretrained", tmp_path / "built")
    found = run_suite(reader_of(FeedbackPredictor.load(tmp_path / "built")))
    below = {one.name: (one.rate, one.floor, one.failures) for one in found if not one.holds}
    assert below == {}

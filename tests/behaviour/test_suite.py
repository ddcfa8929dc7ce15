"""The suite itself: enough sentences, each once, and a reader who knows nothing passes no capability by luck."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.predictors.feedback import POLARITIES
from training.behaviour.suite import Read, accepted, run_suite, sentences

LEAST = 300


def none(asked: Sequence[str]) -> NDArray[np.bool_]:
    return np.zeros(len(asked), dtype=np.bool_)


def texts() -> list[str]:
    suite = sentences()
    read = [text for one in suite["capability"] for text, _ in accepted(one)]
    read += [text for one in suite["stronger"] for pair in one["pairs"] for text in pair]
    return read + [template for one in suite["swap"] for template in one["templates"]]


def test_there_are_three_hundred_sentences_and_none_twice() -> None:
    assert len(texts()) >= LEAST
    assert [text for text, times in Counter(texts()).items() if times > 1] == []


def test_every_answer_is_a_polarity() -> None:
    for capability in sentences()["capability"]:
        for text, right in accepted(capability):
            assert set(right) <= set(POLARITIES), text


def test_who_knows_every_answer_passes_everything() -> None:
    known = {text: right[0] for one in sentences()["capability"] for text, right in accepted(one)}
    stronger = {other: 4.0 for one in sentences()["stronger"] for _, other in one["pairs"]}

    def read(asked: Sequence[str]) -> Read:
        polarity = [POLARITIES.index(known.get(text, "neutral")) for text in asked]
        return Read(np.array(polarity), np.array([stronger.get(text, 1.0) for text in asked]), none(asked))

    assert all(one.rate == 1.0 and not one.failures for one in run_suite(read))


def test_who_says_the_same_of_everything_fails_what_needs_understanding() -> None:
    def read(asked: Sequence[str]) -> Read:
        return Read(np.full(len(asked), POLARITIES.index("positive")), np.zeros(len(asked)), none(asked))

    found = {one.name: one for one in run_suite(read)}
    assert not found["negation"].holds
    assert not found["irony"].holds
    assert not found["plain words"].holds
    assert found["names, genders, places"].holds, "nothing changes with the name"


def test_a_reader_who_minds_a_name_is_caught() -> None:
    def read(asked: Sequence[str]) -> Read:
        minds = [POLARITIES.index("negative" if "Fatima" in text else "neutral") for text in asked]
        return Read(np.array(minds), np.zeros(len(asked)), none(asked))

    swapped = run_suite(read)[-1]
    assert not swapped.holds
    assert all("Fatima" in text for text in swapped.failures)

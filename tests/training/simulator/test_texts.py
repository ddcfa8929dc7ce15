"""Feedback texts are many, readable, and labelled with what they were made of."""

from functools import cache
from itertools import chain

import numpy as np

from training.simulator.fragments.negative import NEGATIVE
from training.simulator.fragments.neutral import NEUTRAL
from training.simulator.fragments.nuanced import GRATEFUL, HURT, IRONIC, MIXED, POLITELY_ANGRY, RESIGNED
from training.simulator.fragments.positive import POSITIVE
from training.simulator.odds import NUANCES, SPOKEN
from training.simulator.texts import MAX_WORDS, Feedback, draws_for, write_feedback

GO_EMOTIONS = {
    *("admiration", "amusement", "anger", "annoyance", "approval", "caring", "confusion", "curiosity", "desire"),
    *("disappointment", "disapproval", "disgust", "embarrassment", "excitement", "fear", "gratitude", "grief", "joy"),
    *("love", "nervousness", "optimism", "pride", "realization", "relief", "remorse", "sadness", "surprise", "neutral"),
}


@cache
def many() -> tuple[Feedback, ...]:
    kinds = [(touchpoint, polarity) for touchpoint, polarities in SPOKEN.items() for polarity in polarities]
    draws = draws_for(80_000, np.random.default_rng(1))
    return tuple(write_feedback(*kinds[k % len(kinds)], drawn) for k, drawn in enumerate(draws))


def test_more_than_fifty_thousand_distinct_texts_are_made() -> None:
    assert len({said.text for said in many()}) > 50_000


def test_texts_have_three_to_sixty_words_and_no_empty_slots() -> None:
    for said in many():
        assert 2 <= len(said.text.split()) <= MAX_WORDS
        assert "{" not in said.text


def test_every_nuance_comes_with_its_polarity_and_intensity() -> None:
    for said in many():
        assert said.nuance in NUANCES[said.polarity]
        assert -4 <= said.intensity <= 4
        assert said.intensity < 0 if said.polarity == "negative" else True
        assert said.intensity > 0 if said.polarity == "positive" else True
        assert abs(said.intensity) <= 1.5 or said.polarity in ("positive", "negative")
    assert {said.nuance for said in many()} == set(chain.from_iterable(NUANCES.values()))


def test_the_resigned_are_quieter_than_the_politely_angry() -> None:
    mean = {
        nuance: float(np.mean([said.intensity for said in many() if said.nuance == nuance]))
        for nuance in ("resigned", "politely_angry")
    }
    assert mean["politely_angry"] < mean["resigned"] - 1 < 0


def test_emotions_are_names_of_goemotions() -> None:
    for said in many():
        assert said.emotions
        assert set(said.emotions) <= GO_EMOTIONS


def test_stars_agree_with_polarity_on_the_whole() -> None:
    stars = {
        polarity: np.mean([said.rating for said in many() if said.polarity == polarity and said.rating is not None])
        for polarity in ("negative", "mixed", "positive")
    }
    assert stars["negative"] < 2 < stars["mixed"] < 4 < stars["positive"]


def test_the_same_draws_write_the_same_text() -> None:
    draws = draws_for(1, np.random.default_rng(5))[0]
    assert write_feedback("review.post", "mixed", draws) == write_feedback("review.post", "mixed", draws)


def test_several_hundred_fragments_are_written_and_none_twice() -> None:
    by_topic = chain.from_iterable(chain(*table.values()) for table in (POSITIVE, NEGATIVE, NEUTRAL, IRONIC))
    words = [clause[0] for clause in chain(by_topic, RESIGNED, POLITELY_ANGRY, GRATEFUL, HURT, MIXED)]
    assert len(words) == len(set(words)) > 350
    assert all(clause[-1] not in ".!?" for clause in words)

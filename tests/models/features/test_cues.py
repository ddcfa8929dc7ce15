"""Cues in the words alone: found where they are said, silent on ordinary reviews, quick on any input."""

import pytest

from models.features.cues import language, lexical_cues


@pytest.mark.parametrize(
    "text",
    [
        "Never once have we been disappointed.",
        "Ten years with this dealer and not a single complaint.",
        "I cannot fault the service at all.",
        "Could not be happier with the car.",
        "You won’t regret it.",
    ],
)
def test_praise_said_by_denying_the_bad_is_a_cue(text: str) -> None:
    assert "negated_praise" in lexical_cues(text)


@pytest.mark.parametrize(
    "text",
    [
        "Oh great, another software update that breaks the radio.",
        "They will call me back. Yeah, right.",
        "Thanks for nothing.",
        "Nice job on losing my keys!",
        "Wonderful experience /s",
    ],
)
def test_sarcasm_in_set_phrases_is_a_cue(text: str) -> None:
    assert "sarcasm_cue" in lexical_cues(text)


@pytest.mark.parametrize(
    "text", ["I have given up asking.", "What's the point of writing again?", "It is what it is.", "Late, as usual."]
)
def test_resignation_in_set_phrases_is_a_cue(text: str) -> None:
    assert "resignation" in lexical_cues(text)


def test_polite_words_with_a_grievance_are_a_cue_and_polite_words_alone_are_not() -> None:
    assert "polite_anger" in lexical_cues("With all due respect, this is the third time I have written.")
    assert "polite_anger" in lexical_cues("Kindly explain why nobody has replied to me.")
    assert lexical_cues("I would appreciate a test drive on Friday.") == frozenset()


@pytest.mark.parametrize(
    "text",
    [
        "I can't do this any more, I want to die.",
        "Sometimes I think about killing myself over these debts.",
        "I will burn your showroom down.",
        "Next time I'll come after you.",
        "My lawyer will be in touch.",
        "We will sue.",
        "I am taking legal action.",
        "The brakes suddenly failed on the motorway.",
        "The battery caught fire in my garage.",
        "The airbag did not open.",
        "My daughter was injured.",
        "The car is not safe to drive.",
    ],
)
def test_self_harm_threats_law_and_safety_are_urgent(text: str) -> None:
    assert "urgent" in lexical_cues(text)


@pytest.mark.parametrize(
    "text",
    [
        "A dress to die for, these suede court shoes killed me in the best way.",
        "I ordered it by accident and love the smoke grey.",
        "Sue from the shop was lovely.",
        "The colour is fire and the price is a steal.",
        "The law of attraction brought me to this shop.",
        "",
    ],
)
def test_ordinary_words_that_look_alarming_are_not_urgent(text: str) -> None:
    assert "urgent" not in lexical_cues(text)


@pytest.mark.parametrize("unit", ["no ", "no,", "oh great, ", "just ", "i have ", "a", "brakes a b ", "i will "])
def test_cues_of_a_million_characters_are_looked_for_within_a_bound(unit: str) -> None:
    assert lexical_cues(unit * (1_000_000 // len(unit))) <= {"sarcasm_cue", "negated_praise", "resignation"}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("The dealer was friendly and the car is great.", "en"),
        ("La voiture est superbe mais le service est nul.", "fr"),
        ("Das Auto ist schön, aber der Service war schlecht.", "de"),
    ],
)
def test_the_language_of_a_sentence_is_told(text: str, code: str) -> None:
    assert language(text)[0] == code


def test_the_language_of_almost_nothing_is_unsure() -> None:
    assert language("ok")[1] < 0.5
    assert language("")[1] < 0.5

"""Texts as models see them: cleaning, hashing, token ids."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from models.features.text import MAX_CHARACTERS, content_hash, encode_texts, load_tokenizer, normalise


@pytest.fixture
def serialised() -> str:
    vocabulary = {"[PAD]": 0, "[CLS]": 1, "[SEP]": 2, "[UNK]": 3, "good": 4, "bad": 5, "car": 6}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    tokenizer.enable_padding(length=128)
    text: str = tokenizer.to_str()
    return text


@given(st.text(st.characters(codec=None), max_size=200))
def test_normalising_twice_changes_nothing_more(text: str) -> None:
    once = normalise(text)
    assert normalise(once.text).text == once.text
    assert not once.truncated


@given(st.text(st.characters(codec=None), max_size=200))
def test_what_is_normalised_can_always_be_written_as_utf8_without_controls(text: str) -> None:
    cleaned = normalise(text).text
    cleaned.encode("utf-8")
    assert not any(ord(character) < 32 for character in cleaned)


def test_composed_and_decomposed_letters_are_one_text() -> None:
    assert normalise("cafe\u0301").text == "café"
    assert content_hash("cafe\u0301 ") == content_hash("  café")


def test_words_hidden_by_zero_width_and_reordering_marks_are_laid_open() -> None:
    assert normalise("aw\u200bful \u202ecar\x00\ud800").text == "awful car"


def test_different_texts_have_different_hashes() -> None:
    assert content_hash("good") != content_hash("good!")


@pytest.mark.parametrize(
    "text", ["a" * 1_000_000, "so good " * 125_000, "a\u0300\u0316" * 333_333, "\ufdfa" * 1_000_000]
)
def test_a_text_of_a_million_characters_is_cut_and_says_so(text: str) -> None:
    cleaned = normalise(text)
    assert cleaned.truncated
    assert 0 < len(cleaned.text) <= MAX_CHARACTERS


@pytest.mark.parametrize("text", ["", " " * 1_000_000, "\x00" * 10])
def test_nothing_stays_nothing(text: str) -> None:
    assert normalise(text).text == ""
    assert not normalise(text).truncated


def test_texts_become_padded_ids_with_the_places_of_their_words(serialised: str) -> None:
    encoded = encode_texts(load_tokenizer(serialised, 8), ["good   car", "", "bad"])
    np.testing.assert_array_equal(encoded.input_ids, [[1, 4, 6, 2], [1, 2, 0, 0], [1, 5, 2, 0]])
    np.testing.assert_array_equal(encoded.attention_mask.sum(axis=1), [4, 2, 3])
    np.testing.assert_array_equal(encoded.offsets[0], [[0, 0], [0, 4], [5, 8], [0, 0]])
    assert not encoded.truncated.any()


def test_a_text_with_more_tokens_than_the_limit_is_cut_and_keeps_its_last_special_token(serialised: str) -> None:
    encoded = encode_texts(load_tokenizer(serialised, 4), ["good good good car", "good car"])
    np.testing.assert_array_equal(encoded.input_ids[0], [1, 4, 4, 2])
    np.testing.assert_array_equal(encoded.truncated, [True, False])


def test_a_very_long_text_is_encoded_within_the_limit(serialised: str) -> None:
    encoded = encode_texts(load_tokenizer(serialised, 16), ["car " * 250_000])
    assert encoded.input_ids.shape == (1, 16)
    assert encoded.truncated.tolist() == [True]


def test_no_texts_are_a_batch_of_none(serialised: str) -> None:
    encoded = encode_texts(load_tokenizer(serialised, 8), [])
    assert encoded.input_ids.shape == (0, 1)
    assert encoded.offsets.shape == (0, 1, 2)
    assert encoded.truncated.shape == (0,)

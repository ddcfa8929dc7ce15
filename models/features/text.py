"""What a model sees of a text: cleaned characters, then token ids. One definition for training and for serving.

It does not judge a text (that is `cues.py` and the predictors) and it knows no torch: arrays are numpy, tokens come
from the `tokenizers` library.
"""

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import emoji
import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

MAX_CHARACTERS = 10_000
"""Characters kept of one text. Far above what any encoder here reads (512 tokens are about 2,500 characters)."""

# Python's NFC sorts runs of combining marks by insertion, which is quadratic: a text is cut before it, not only after.
_RAW_CHARACTERS = 2 * MAX_CHARACTERS

# Controls that are not white space, zero-width and bidirectional marks (they hide or reorder words), and lone
# surrogates (no tokenizer can read them). The zero-width joiner stays: emoji and several scripts need it.
_UNSEEN = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u200b\u2060\ufeff\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


_SKIN = re.compile(r"_(?:light|medium-light|medium|medium-dark|dark)_skin_tone")
_MEANT = {
    "thumbs up": "great", "OK hand": "great", "clapping hands": "well done", "party popper": "hooray",
    "thumbs down": "bad", "face with symbols on mouth": "angry swearing", "face with steam from nose": "angry",
    "face with rolling eyes": "annoyed eye roll", "folded hands": "thank you", "raising hands": "hooray",
    "face vomiting": "disgusting", "clown face": "ridiculous", "hundred points": "perfect", "fire": "amazing",
    "face with tears of joy": "laughing", "skull": "laughing", "pile of poo": "rubbish", "red heart": "love",
    "broken heart": "heartbroken",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class NormalisedText:
    """A cleaned text, and whether some of it had to be cut away."""

    text: str
    truncated: bool


@dataclass(frozen=True, slots=True)
class EncodedTexts:
    """A batch of texts as token ids, padded on the right to its longest text.

    Attributes:
        input_ids: (n, t) int64 token ids, 0 where padded.
        attention_mask: (n, t) int64, 1 where there is a token.
        offsets: (n, t, 2) int64, [start, end) of each token in the normalised text as it is `spoken`, 0 where padded
            or special.
        truncated: (n,) bool, True where the model does not see the whole text.
    """

    input_ids: NDArray[np.int64]
    attention_mask: NDArray[np.int64]
    offsets: NDArray[np.int64]
    truncated: NDArray[np.bool_]


def normalise(text: str) -> NormalisedText:
    """Clean a text: Unicode NFC, unseen characters dropped, white space collapsed, at most `MAX_CHARACTERS` kept.

    Normalising twice changes nothing more. The time is bounded whatever the length, as the text is cut first.

    >>> normalise("  I\\x00 love\\n\\n it ")
    NormalisedText(text='I love it', truncated=False)
    """
    text = text.strip()
    seen = unicodedata.normalize("NFC", _UNSEEN.sub("", text[:_RAW_CHARACTERS]))
    words = " ".join(seen.split())
    kept = words[:MAX_CHARACTERS].rstrip()
    lost = len(words) > len(kept) or len(text) > _RAW_CHARACTERS
    return NormalisedText(kept, lost)


def spoken(text: str) -> str:
    """Emoji in the words of their Unicode names, the same one in a row once: an encoder of words knows no pictures.

    Those whose names do not tell what people mean by them are put as what they mean.

    >>> spoken("Arrived 😍😍 👍🏽"), spoken("5 * 3 :)")
    ('Arrived  smiling face with heart-eyes.  great.', '5 * 3 :)')
    """
    if text.isascii():
        return text
    said: list[str] = []

    def in_words(picture: str, about: dict[str, str]) -> str:
        name = _SKIN.sub("", about["en"].strip(":")).replace("_", " ")
        words = _MEANT.get(name, name)
        again = bool(said) and said[-1] == words
        said.append(words)
        return "" if again else f" {words}."

    return emoji.replace_emoji(text, in_words).rstrip()


def content_hash(text: str) -> str:
    """Sha256 (hex) of the normalised text: equal for texts that every model sees as the same.

    >>> content_hash("so  good") == content_hash("so good\\n")
    True
    """
    return hashlib.sha256(normalise(text).text.encode()).hexdigest()


def load_tokenizer(serialised: str, max_tokens: int) -> Tokenizer:
    """A tokenizer from the text of its `tokenizer.json`, cutting at `max_tokens` (special tokens counted), unpadded.

    Truncation is set once here, because changing a tokenizer while another thread encodes with it is an error.
    """
    tokenizer = Tokenizer.from_str(serialised)
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    return tokenizer


def encode_texts(tokenizer: Tokenizer, texts: Sequence[str]) -> EncodedTexts:
    """Normalise and encode texts with a tokenizer made by `load_tokenizer`.

    Args:
        tokenizer: from `load_tokenizer`; it carries the limit of tokens.
        texts: n texts, of any length; an empty text is its special tokens alone.

    Returns:
        Arrays of n rows and of as many columns as the longest text has tokens (at least one).
    """
    cleaned = [normalise(text) for text in texts]
    encodings = tokenizer.encode_batch([spoken(each.text) for each in cleaned])
    width = max((len(encoding.ids) for encoding in encodings), default=0) or 1
    input_ids = np.zeros((len(encodings), width), dtype=np.int64)
    attention_mask = np.zeros_like(input_ids)
    offsets = np.zeros((len(encodings), width, 2), dtype=np.int64)
    for row, encoding in enumerate(encodings):
        length = len(encoding.ids)
        input_ids[row, :length] = encoding.ids
        attention_mask[row, :length] = 1
        offsets[row, :length] = np.asarray(encoding.offsets, dtype=np.int64).reshape(length, 2)
    truncated = [each.truncated or bool(enc.overflowing) for each, enc in zip(cleaned, encodings, strict=True)]
    return EncodedTexts(input_ids, attention_mask, offsets, np.asarray(truncated, dtype=np.bool_))

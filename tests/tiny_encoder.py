"""An encoder small enough to fit in a second: a random BERT of two layers, 32 wide, that knows a few words."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel


def write_tiny_encoder(folder: Path, words: Iterable[str]) -> str:
    """Write it as a transformers folder; the same words give the same weights. Returns the folder."""
    known = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", *words]
    tokenizer = Tokenizer(models.WordLevel({word: row for row, word in enumerate(known)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        shape = BertConfig(
            vocab_size=len(known),
            max_position_embeddings=64,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
        )
        BertModel(shape).save_pretrained(folder)
    return str(folder)

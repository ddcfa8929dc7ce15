"""What a reader of feelings knew before its layers learn: kept as soft labels and learned along, so that it stays.

Our own sentences stand for all that an operator's texts do not say; of the operator's texts the heads that they do not
teach are asked to say what they said before ("Learning without forgetting", Li and Hoiem 2016; rehearsal, Robins 1995).
It fits nothing: the loop is `training/feedback_fit.py`'s.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.features.text import encode_texts, load_tokenizer
from models.nets.feedback import FeedbackNet, FeelingTargets, feeling_loss
from training.feedback_heads import rehearsed
from training.situations import all_sentences

_FILLINGS = 6
_DRAWN = 8
"""Sentences of our own beside each batch of the operator's texts."""
_BATCH = 64


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """Sentences of our own as token ids (m, t), and what the reader said of them before it learned anything else."""

    ids: Tensor
    mask: Tensor
    targets: FeelingTargets

    @classmethod
    def of(cls, net: FeedbackNet, tokenizer: str, max_tokens: int, seed: int) -> Rehearsal:
        """Ask the net as it is now."""
        own = [one.text for one in all_sentences(_FILLINGS, np.random.default_rng(seed))]
        encoded = encode_texts(load_tokenizer(tokenizer, max_tokens), own)
        ids, mask = torch.from_numpy(encoded.input_ids), torch.from_numpy(encoded.attention_mask)
        return cls(ids, mask, said(net, ids, mask, net.names))

    def loss(self, net: FeedbackNet, rng: np.random.Generator) -> Tensor:
        """How far the net is from what it said of a few sentences, drawn anew each time."""
        drawn = torch.from_numpy(rng.choice(len(self.ids), size=min(_DRAWN, len(self.ids)), replace=False))
        width = int(self.mask[drawn].sum(dim=1).max())
        outputs = net(self.ids[drawn, :width], self.mask[drawn, :width])
        return feeling_loss(tuple(one.float() for one in outputs), net.names, self.targets.rows(drawn))


def said(net: FeedbackNet, ids: Tensor, mask: Tensor, names: tuple[str, ...]) -> FeelingTargets:
    """What the heads `names` say of texts now, as labels to keep; texts are asked in the order given."""
    was_learning = net.training
    net.eval()
    pooled = []
    with torch.inference_mode():
        for first in range(0, len(ids), _BATCH):
            width = int(mask[first : first + _BATCH].sum(dim=1).max())
            pooled.append(net.pooled(ids[first : first + _BATCH, :width], mask[first : first + _BATCH, :width]))
    net.train(was_learning)
    _, targets = rehearsed(net, torch.cat(pooled), names)
    kept = (targets.labels, targets.weights)  # what was made in inference mode may not be learned from
    return FeelingTargets(*({name: tensor.clone() for name, tensor in one.items()} for one in kept))

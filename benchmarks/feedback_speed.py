"""How fast feelings are told, beside torch and dynamic int8: `python -m benchmarks.feedback_speed`.

The shipped reader is built twice from the same net: as it serves (int8, calibrated) and as ONNX Runtime's own dynamic
int8 of the same graph; torch answers in fp32. All on one thread, in turns within one run, so that a busy machine slows
all alike. Texts are our own sentences; nothing is read. What is told is processor time: waiting adds nothing to it.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.shape_inference import quant_pre_process

from benchmarks.report import about, of_run, options, table, write
from models.features.text import encode_texts, load_tokenizer
from models.nets.feedback import FeedbackNet
from models.predictors.feedback import POOLED, FeedbackPredictor
from models.predictors.predictor import open_session
from training.feedback import build_start
from training.feedback_export import export_feedback
from training.feedback_fit import WIDTHS
from training.loop import torch_threads
from training.nuanced import nuanced_sentences
from training.pretrained import PRETRAINED, load_start
from training.quantise import Feed

TOKENS, BATCH, ROUNDS = 40, 32, 15
NOTES = (
    "Milliseconds of processor time, median (least) of rounds taken in turns on one thread. `one text`: 40 tokens;",
    "`batch`: 32 texts of 40 tokens; `mixed texts`: our own sentences, short and long, as they come,",
    "in batches of 32: ours sorts them by length, the others take them in the order given.",
)
Answer = Callable[[Feed], Any]


def feed(rng: np.random.Generator, texts: int, tokens: int) -> Feed:
    """Token ids of so many texts of one length."""
    return {
        "input_ids": rng.integers(1000, 20_000, (texts, tokens)),
        "attention_mask": np.ones((texts, tokens), np.int64),
    }


def readers(scratch: Path) -> tuple[dict[str, Answer], FeedbackPredictor, Any]:
    """Ours, dynamic int8 and torch, each answering a batch of ids; our predictor, and the tokenizer."""
    start = load_start(PRETRAINED)
    net = FeedbackNet(start.encoder, {name: WIDTHS[name] for name in start.names})
    net.heads.load_state_dict(start.heads, strict=False)
    net.eval()
    build_start(PRETRAINED, scratch / "ours")
    torch_net = load_start(PRETRAINED).encoder.eval()  # with the attention that torch is fastest with
    export_feedback(net, scratch / "whole.onnx")
    quant_pre_process(str(scratch / "whole.onnx"), str(scratch / "prepared.onnx"), skip_symbolic_shape=True)
    logging.getLogger().setLevel(logging.ERROR)
    prepared = onnx.load(str(scratch / "prepared.onnx"))
    del prepared.graph.value_info[:]  # shapes from before the quantiser turns weights round, which it then minds
    quantize_dynamic(prepared, str(scratch / "dynamic.onnx"), weight_type=QuantType.QInt8)
    ours, dynamic = (open_session(file, 1) for file in (scratch / "ours" / "feedback.onnx", scratch / "dynamic.onnx"))

    def by_torch(one: Feed) -> Any:
        with torch.inference_mode():
            return torch_net(**{name: torch.from_numpy(value) for name, value in one.items()})

    asked = [*start.names, POOLED]
    answers: dict[str, Answer] = {
        "ours": lambda one: ours.run(asked, one),
        "dynamic_int8": lambda one: dynamic.run(asked, one),
        "torch_fp32": by_torch,
    }
    return answers, FeedbackPredictor.load(scratch / "ours"), load_tokenizer(start.tokenizer, 96)


def timed(answers: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, dict[str, float]]:
    """Milliseconds of each, in turns."""
    found: dict[str, list[float]] = {name: [] for name in answers}
    for answer in answers.values():
        answer()
    for _ in range(rounds):
        for name, answer in answers.items():
            began = time.process_time()
            answer()
            found[name].append((time.process_time() - began) * 1000)
    return {name: {"median": float(np.median(ms)), "least": float(np.min(ms))} for name, ms in found.items()}


def batches(tokenizer: Any, texts: list[str], *, by_length: bool) -> list[Feed]:
    """Texts as batches of ids, in the order given or by length, each cut at its longest."""
    encoded = encode_texts(tokenizer, texts)
    lengths: NDArray[np.int64] = encoded.attention_mask.sum(axis=1)
    order = np.argsort(lengths, kind="stable") if by_length else np.arange(len(texts))
    parts = [order[first : first + BATCH] for first in range(0, len(order), BATCH)]
    return [
        {"input_ids": encoded.input_ids[rows, : lengths[rows].max()],
         "attention_mask": encoded.attention_mask[rows, : lengths[rows].max()]}
        for rows in parts
    ]  # fmt: skip


def run(seed: int) -> dict[str, Any]:
    """All figures."""
    began, rng = time.monotonic(), np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as scratch, torch_threads(1):
        sys.stderr.write("building\n")
        answers, predictor, tokenizer = readers(Path(scratch))
        one, many = feed(rng, 1, TOKENS), feed(rng, BATCH, TOKENS)
        said = [text.text for text in nuanced_sentences(1, rng)]
        texts = [" ".join(rng.permutation(said)[: rng.integers(1, 5)]) for _ in range(256)]
        mixed = {name: batches(tokenizer, texts, by_length=name == "ours") for name in answers}
        sys.stderr.write("timing\n")
        told: dict[str, Any] = {
            "one text": timed({name: lambda a=answer: a(one) for name, answer in answers.items()}, ROUNDS * 4),
            "batch": timed({name: lambda a=answer: a(many) for name, answer in answers.items()}, ROUNDS),
            "mixed texts": timed(
                {name: lambda a=answer, n=name: [a(part) for part in mixed[n]] for name, answer in answers.items()}, 3
            ),
        }
        predictor.predict(texts)
        told["asked again"] = timed({"ours": lambda: predictor.predict(texts)}, ROUNDS)
    told["times_faster_than_torch"] = told["one text"]["torch_fp32"]["median"] / told["one text"]["ours"]["median"]
    told["times_faster_than_dynamic"] = told["batch"]["dynamic_int8"]["median"] / told["batch"]["ours"]["median"]
    return {"about": about(), "seconds": round(time.monotonic() - began), **told}


def markdown(told: Mapping[str, Any]) -> str:
    """The figures as a table."""
    names = ("ours", "dynamic_int8", "torch_fp32")
    rows = [
        [what, *(f"{told[what][name]['median']:.2f} ({told[what][name]['least']:.2f})" if name in told[what] else "-"
                 for name in names)]
        for what in ("one text", "batch", "mixed texts", "asked again")
    ]  # fmt: skip
    below = (
        f"One text: {told['times_faster_than_torch']:.1f} times as fast as torch; batches: "
        f"{told['times_faster_than_dynamic']:.2f} times as fast as dynamic int8. {of_run(told)}"
    )
    return table("milliseconds", ("what", *names), rows, below)


def main() -> None:
    chosen = options(str(__doc__)).parse_args()
    told = run(chosen.seed)
    write("feedback_speed", "How fast feelings are told", NOTES, {"speed": told}, [markdown(told)])


if __name__ == "__main__":
    main()

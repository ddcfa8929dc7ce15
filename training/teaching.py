"""`python -m training pretrain` and `build`: teach the reader of feelings that is shipped, and build it to serve.

Reads options and prints; the work is in pretrain.py, feedback.py and measure/pretrained.py.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from training.refusal import refused, stderr


def pretrain(
    data: Annotated[
        Path, typer.Option(help="Folder of goemotions/, rated_sentences/, clothing_reviews/ and sarcasm/.")
    ],
    out: Annotated[Path, typer.Option(help="Folder to write adapter.safetensors, adapter.json and figures.json into.")],
    encoder: Annotated[
        str, typer.Option(help="all-MiniLM-L6-v2, a folder, or a name on a model hub.")
    ] = "all-MiniLM-L6-v2",
    rank: Annotated[int, typer.Option(min=1, help="Of the update of each layer.")] = 32,
    layers: Annotated[str, typer.Option(help="all-linear, or attention: query, key and value alone.")] = "all-linear",
    emotions: Annotated[str, typer.Option(help="Loss of emotions: bce, asymmetric or focal.")] = "bce",
    epochs: Annotated[int, typer.Option(min=1, max=50, help="Passes over the texts.")] = 3,
    texts: Annotated[int | None, typer.Option(min=100, help="Learn from a random sample of so many texts.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="Processor threads.")] = 2,
    seed: Annotated[int, typer.Option(min=0, help="Everything random follows from it.")] = 0,
) -> None:
    """Teach an encoder feelings: an adapter and heads, measured on what was held out.

    Goes on after the last whole pass where it was stopped.
    """
    import numpy as np

    from models.journey.eventlog import EventLogError
    from models.nets.feedback import EncoderNotFoundError
    from training.export import ParityError
    from training.pretrain import PretrainConfig, Pretraining
    from training.pretrain_data import read_pretrain_texts

    try:
        found = read_pretrain_texts(data, np.random.default_rng(seed))
        if texts is not None:
            found = found.fewer(texts, np.random.default_rng(seed))
        config = PretrainConfig(
            encoder=encoder, rank=rank, layers=layers, emotions=emotions, epochs=epochs, threads=threads, seed=seed
        )
        fit = Pretraining(found, config, out / "unfinished", lambda line: stderr().print(line, highlight=False))
        fit.run()
        taught = {"encoder": encoder, "trained_with": asdict(config), "losses": [round(one, 4) for one in fit.losses]}
        told = write_measured(out, fit.tensors(), taught, found, seed)
    except (EventLogError, EncoderNotFoundError, ParityError, ValueError) as error:
        raise refused(str(error)) from None
    typer.echo(json.dumps(told))


def write_measured(
    out: Path, tensors: dict[str, Any], description: dict[str, Any], texts: Any, seed: int
) -> dict[str, Any]:
    """Write the adapter, build it as it serves, and write what was measured of it beside it. Returns the figures."""
    from models.predictors.feedback import FeedbackPredictor
    from training.adapter import write_adapter
    from training.emotion_measure import measure_emotions
    from training.feedback import build_start
    from training.measure.pretrained import measure_pretrained, raw_emotions

    write_adapter(out, tensors, description)
    with tempfile.TemporaryDirectory(prefix="pretrained-") as scratch:
        learned = [text for text, held in zip(texts.texts, texts.held_out, strict=True) if not held]
        parity = build_start(str(out), Path(scratch) / "served", texts=learned[:: max(1, len(learned) // 500)])
        predictor = FeedbackPredictor.load(Path(scratch) / "served")
        figures = {"int8": asdict(parity), **measure_pretrained(texts, predictor, seed)}
        held = texts.rows(texts.held_out.nonzero()[0])
        measured = measure_emotions(*raw_emotions(predictor.predict(held.texts), held))
    write_adapter(out, tensors, description | {"measured": {"emotions": measured}})
    (out / "figures.json").write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    return figures


def build(
    out: Annotated[Path, typer.Option(help="Folder to make: feedback.onnx, tokenizer.json, feedback.json.")],
    encoder: Annotated[str, typer.Option(help="pretrained, or a folder that pretrain wrote.")] = "pretrained",
    max_tokens: Annotated[int, typer.Option(min=8, max=512, help="Tokens read of one text.")] = 96,
) -> None:
    """Build the shipped reader of feelings as it serves (int8, proved), without texts of your own."""
    from models.nets.feedback import EncoderNotFoundError
    from training.export import ParityError
    from training.feedback import build_start

    try:
        parity = build_start(encoder, out, max_tokens=max_tokens)
    except (EncoderNotFoundError, ParityError, FileExistsError) as error:
        raise refused(str(error)) from None
    typer.echo(json.dumps(asdict(replace(parity, mean_cosine=round(parity.mean_cosine, 5)))))

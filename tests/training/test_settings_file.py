"""Settings of a run: the file, then --set, then options; each field by its name, wrong ones told with near ones."""

from __future__ import annotations

import ast
import re
import typing
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from models.journey.target import Target
from training.config import ConfigError, TrainConfig
from training.settings_file import dotted_names, read_settings

ROOT = Path(__file__).parents[2]
TOML = """
seed = 3
horizon_seconds = 86400
targets = ["car=dealer.purchase:90d", "visit=dealer.visit:30d"]

[event_columns]
user_id = "CustomerID"

[purchase]
stack = []
[purchase.boosting]
leaves = 9

[gate]
worse_nats = 0.5
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "run.toml"
    path.write_text(TOML)
    return path


def test_options_win_over_set_which_wins_over_the_file(file: Path) -> None:
    config = read_settings(file, ["seed=4", "purchase.boosting.l2=0.5", "feeling.encoder=none"], {"seed": 5})
    assert (config.seed, config.purchase.boosting.leaves, config.purchase.boosting.l2) == (5, 9, 0.5)
    assert config.targets == (
        Target("car", ("dealer.purchase",), 90 * 86_400),
        Target("visit", ("dealer.visit",), 30 * 86_400),
    )
    assert (config.event_columns, config.purchase.stack, config.gate.worse_nats) == ({"user_id": "CustomerID"}, (), 0.5)
    assert config.feeling.encoder == "none"
    assert read_settings(None, [], {}) == TrainConfig()


def test_every_field_can_be_set_by_its_name() -> None:
    names = dotted_names()
    assert len(names) == len(set(names)) > 70
    config = TrainConfig()
    for name in names:
        value: object = config
        for part in name.split("."):
            value = getattr(value, part)
        told = value if isinstance(value, int | float | str | bool) else None
        if told is not None:
            assert read_settings(None, [], {name: told}) == config, name


def _records(record: Any) -> Iterator[Any]:
    """TrainConfig and every group of settings in it."""
    yield record
    for hint in typing.get_type_hints(record).values():
        if is_dataclass(hint) and hint is not Target:
            yield from _records(hint)


@pytest.mark.parametrize("record", list(_records(TrainConfig)), ids=lambda record: record.__name__)
def test_every_setting_is_documented_and_read(record: Any) -> None:
    told = set(re.findall(r"\w+", record.__doc__))
    names = {one.name for one in fields(record)}
    assert names - told == set(), "said what it is in the docstring of its record"
    assert names - _read_somewhere() == set(), "read by something beside its own check"


@cache
def _read_somewhere() -> frozenset[str]:
    """Every name that some code of training or models reads as an attribute, outside of the checks of records."""
    found = set[str]()
    for path in (*ROOT.glob("training/**/*.py"), *ROOT.glob("models/**/*.py")):
        trees: list[ast.AST] = [ast.parse(path.read_text("utf-8"))]
        while trees:
            node = trees.pop()
            if isinstance(node, ast.FunctionDef) and node.name == "__post_init__":
                continue
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                found.add(node.attr)
            trees += ast.iter_child_nodes(node)
    return frozenset(found)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("sed=3", "'sed' does not exist; did you mean seed?"),
        ("gate.worse_nat=1", "did you mean gate.worse_nats?"),
        ("seed=x", "'x'; allowed: a whole number"),
        ("seed=1.5", "1.5; allowed: a whole number"),
        ("publish=1", "1; allowed: true or false"),
        ("gate=3", "'gate' is a group of settings"),
        ("seed.more=3", "'seed': "),
        ("purchase.stack=3", "3; allowed: a list"),
        ("next_touchpoint.device=tpu", "tpu"),
        ("targets=soon", "target 'soon' must look like"),
        ("gate.size_mb=-1", "gate: size_mb -1.0; allowed: 0 to inf"),
        ("labels.most_propensity_weight=true", "True; allowed: a number"),
        ("seed", "must look like name=value"),
    ],
)
def test_a_wrong_setting_is_told_with_what_is_allowed(change: str, said: str) -> None:
    with pytest.raises(ConfigError, match=None) as refused:
        read_settings(None, [change], {})
    assert said in str(refused.value)


def test_a_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text("seed = ")
    for name, said in (("x.toml", "is no TOML"), ("nowhere.toml", "cannot be read")):
        with pytest.raises(ConfigError, match=said):
            read_settings(tmp_path / name, [], {})

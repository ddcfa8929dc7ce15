"""Settings: refused where they are made, and told to the diary in plain values."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models.journey.target import Target
from training.config import ConfigError, TrainConfig, parse_columns, parse_horizon, parse_stack, parse_target


def test_every_setting_is_told_in_plain_values() -> None:
    config = TrainConfig(events=Path("log.csv"), event_columns={"user_id": "who"}, out=Path("runs"))
    told = config.to_dict()
    assert json.loads(json.dumps(told)) == told
    assert set(told) == set(TrainConfig.__dataclass_fields__)
    assert (told["events"], told["feedback"], told["out"]) == ("log.csv", None, "runs")
    assert told["targets"] == [{"name": "purchase", "touchpoints": ["*.purchase"], "horizon_seconds": 7_776_000}]
    assert told["next_touchpoint"]["shape"]["width"] == 64
    assert told["feeling"]["encoder"] == "pretrained"


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"targets": (Target("buy", ("a.b",), 1), Target("buy", ("c.d",), 1))}, "two targets are called 'buy'"),
        ({"horizon_seconds": 0}, "horizon_seconds 0; allowed: 1 to"),
        ({"horizon_seconds": 10**15}, "horizon_seconds 1000000000000000; allowed"),
        ({"seed": -1}, "seed -1 must be at least 0"),
    ],
)
def test_a_wrong_setting_is_named(settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        TrainConfig(**settings)


def test_a_target_may_be_one_of_several_touchpoints() -> None:
    target = parse_target("buy=dealer.purchase, shop.purchase:12h")
    assert target == Target("buy", ("dealer.purchase", "shop.purchase"), 43_200)


@pytest.mark.parametrize(
    "text", ["", "buy", "buy=", "buy=dealer.purchase", "=dealer.purchase:9d", "a b=x.y:9d", "buy=x.y:soon", "buy=:9d",
             "buy=x.y:0d", "buy=x.y:999999999d"],
)  # fmt: skip
def test_a_target_that_cannot_be_read_is_shown(text: str) -> None:
    with pytest.raises(ConfigError, match="target"):
        parse_target(text)


@pytest.mark.parametrize(
    ("read", "complaint"),
    [
        (lambda: parse_columns(["text"], "--map"), "--map 'text' must look like ours=theirs"),
        (lambda: parse_columns([" =a"], "--map"), "must look like"),
        (lambda: parse_columns(["text=a", "text=b"], "--map"), "names 'text' twice, as 'a' and 'b'"),
        (lambda: parse_horizon("soon"), "horizon: 'soon' is no duration"),
    ],
)
def test_an_option_that_cannot_be_read_is_shown(read: Callable[[], object], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        read()


def test_columns_may_hold_equals_signs_and_spaces() -> None:
    assert parse_columns(["text = Review Text", "rating=a=b"], "--map-feedback") == {
        "text": "Review Text",
        "rating": "a=b",
    }


def test_whose_answers_stand_beside_behaviour_is_named_or_nobody() -> None:
    assert parse_stack(["none"]) == ()
    with pytest.raises(ConfigError, match=r"stack 'oracle'; allowed: next_touchpoint, feeling, or none alone"):
        parse_stack(["oracle"])
    with pytest.raises(ConfigError, match="'none'"):
        parse_stack(["none", "feeling"])

"""The answer that the OpenAPI document shows: one given of a made-up company's customer, long lists cut short.

A test asks a trained model and holds the shape of this answer to that of the real one.
"""

from __future__ import annotations

from typing import Any

from service.errors import Forbidden, Invalid, NotFound, TooLarge, Unauthorized, Unavailable
from service.errors import documented as problems

Responses = dict[int | str, dict[str, Any]]
NOT_UPLIFT = (
    "A likelihood in `purchase` is not uplift: it says who will, not whom a message would move, and `why` says what "
    "moved the answer, not what would move the customer."
)
EXAMPLE: dict[str, Any] = {
    "customer_id": "c_1042",
    "as_of": "2025-07-01T22:25:14.515738Z",
    "model": {"version": 1, "digest": "701d…", "live_since": "2025-11-20T11:00:12Z"},
    "journey": {
        "touchpoints": 18,
        "first_at": "2024-12-06T22:19:07.743111Z",
        "last_at": "2025-02-28T08:38:10.517575Z",
        "stage": "convenience",
        "last_channel": "email",
        "preferred_channel": "app",
        "channel_preference": {
            "basis": "own_visits",
            "confidence": 0.8188,
            "reason": None,
            "channels": [
                {"channel": "app", "visits": 6},
                {"channel": "dealer", "visits": 3},
                {"channel": "survey", "visits": 2},
                {"channel": "review", "visits": 1},
            ],
        },
    },
    "next_touchpoint": {
        "horizon": "P30D",
        "decision": "auto",
        "decided_by": "model",
        "flags": [],
        "answer": "email.sent",
        "confidence": 0.4203,
        "prediction_set": [
            "email.sent",
            "app.open",
            "workshop.visit",
            "loyalty.redeem",
            "email.open",
            "survey.answer",
            "social.view",
        ],
        "distribution": [
            {"touchpoint": "email.sent", "probability": 0.4203},
            {"touchpoint": "app.open", "probability": 0.1594},
            {"touchpoint": "workshop.visit", "probability": 0.0847},
        ],
        "none_within_horizon": 0.8475,
        "expected_in": {"p10": "P17DT11H", "p50": "P3650D", "p90": "P3650D"},
        "why": {
            "because": [
                {"touchpoint": "email.sent", "occurred_at": "2025-02-28T08:38:10.517575Z", "effect": 0.222},
                {"touchpoint": "email.sent", "occurred_at": "2025-01-23T07:18:25.080040Z", "effect": 0.1414},
                {"touchpoint": "app.connect", "occurred_at": "2025-01-22T12:08:58.812372Z", "effect": 0.0202},
            ],
            "pattern": {"touchpoints": ["email.sent", "email.sent"], "seen": 650, "then_the_answer": 383},
            "counted": [
                {"touchpoint": "email.sent", "times": 934},
                {"touchpoint": "app.open", "times": 230},
                {"touchpoint": "email.open", "times": 189},
            ],
        },
        "promise": {"kind": "coverage", "at_least": 0.9, "group": "all", "n": 17328, "standing": True},
    },
    "purchase": [
        {
            "definition": "car_purchase",
            "horizon": "P90D",
            "base_rate": 0.0839,
            "decision": "auto",
            "decided_by": "model",
            "flags": [],
            "answer": 0.0063,
            "interval": [0.0, 0.0285],
            "confidence": 0.9715,
            "why": {
                "expected": 0.0314,
                "because": [
                    {
                        "feature": "next:target",
                        "value": 7.1802,
                        "usual": 4.8541,
                        "effect": -0.0142,
                        "words": "chance that what is asked for comes next: 0.1%; most people: 0.8%",
                    },
                    {
                        "feature": "touchpoints_30d",
                        "value": 0.0,
                        "usual": 1.0,
                        "effect": -0.0061,
                        "words": "0 touchpoints in 30 days, usually 6.1 in 30 days",
                    },
                ],
            },
            "promise": {"kind": "calibration", "within": "interval", "group": "all", "n": 2908, "standing": True},
        }
    ],
    "feeling": {
        "feedback_id": None,
        "said_at": None,
        "channel": None,
        "decision": "abstain",
        "decided_by": "model",
        "flags": [{"code": "no_feedback", "text": "This customer has said nothing yet."}],
        "answer": None,
        "promise": None,
    },
}


def _answered(description: str, example: Any) -> Responses:
    return {200: {"description": description, "content": {"application/json": {"example": example}}}}


INSIGHT: Responses = {
    **_answered(f"What we conclude about this customer, here with `explain=true`. {NOT_UPLIFT}", EXAMPLE),
    **problems(Unauthorized, Forbidden, NotFound, Invalid, Unavailable),
}
PREDICTIONS: Responses = {
    **_answered(
        f"An insight for each journey, in order, here with `explain`. {NOT_UPLIFT}", {"predictions": [EXAMPLE]}
    ),
    **problems(Unauthorized, Forbidden, TooLarge, Invalid, Unavailable),
}

TEXTS: dict[str, Any] = {
    "texts": [
        {"text": "Lovely people at the counter, and the coffee is good too.", "channel": "survey",
         "said_at": "2026-11-20T18:59:31Z"},
        {"text": "Third visit, third different answer. I have started bringing a notebook.", "channel": "chat",
         "said_at": "2026-11-20T18:59:31Z"},
    ]
}  # fmt: skip
_RELEASED = {
    "kind": "selective_risk", "at_most_wrong": 0.05, "confidence": 0.95, "group": "all", "n": 334, "standing": True,
}  # fmt: skip
ANALYSED: dict[str, Any] = {
    "texts": [
        {
            "feedback_id": "text-0", "said_at": "2026-11-20T18:59:31Z", "channel": "survey",
            "decision": "auto", "decided_by": "model", "flags": [], "answer": "positive", "confidence": 0.8386,
            "distribution": [
                {"polarity": "positive", "probability": 0.8386}, {"polarity": "mixed", "probability": 0.0781},
                {"polarity": "negative", "probability": 0.0689}, {"polarity": "neutral", "probability": 0.0144},
            ],
            "emotions": [{"emotion": "admiration", "probability": 0.2961}],
            "emotion_set": ["approval", "admiration", "love", "joy"],
            "emotion_groups": [{"group": "joy", "probability": 0.6956}],
            "intensity": {"mean": 1.74, "spread": 1.25}, "promise": _RELEASED,
        },
        {
            "feedback_id": "text-1", "said_at": "2026-11-20T18:59:31Z", "channel": "chat",
            "decision": "review", "decided_by": "model",
            "flags": [{"code": "below_threshold",
                       "text": "The confidence is below what the promise allows to release unread."}],
            "answer": None, "promise": _RELEASED,
        },
    ]
}  # fmt: skip
MODELS: dict[str, Any] = {
    "live": {"version": 1, "digest": "b35a…", "live_since": "2026-11-14T03:00:12Z"},
    "problem": None,
    "models": [
        {
            "name": "next_touchpoint", "status": "trained",
            "figures": {"status": "trained", "n": 5122, "accuracy": 0.34264, "top_3": 0.63139, "log_loss": 1.97172,
                        "ece": 0.0184, "coverage": 0.89965, "mean_set_size": 6.60211},
            "promises": [{"kind": "coverage", "at_least": 0.9, "group": "all", "n": 28421, "standing": True,
                          "why": None}],
        },
        {
            "name": "purchase:car_purchase", "status": "trained",
            "figures": {"status": "trained", "n": 2914, "positives": 54, "auc": 0.967, "brier": 0.0119, "ece": 0.00402,
                        "promise_held": True},
            "promises": [{"kind": "calibration", "within": "interval", "group": "all", "n": 4868, "standing": True,
                          "why": None}],
        },
        {
            "name": "feeling", "status": "trained",
            "figures": {"status": "trained", "n": 520, "macro_f1": 0.95458, "ece": 0.01897, "release_rate": 0.66154,
                        "released_error": 0.02326},
            "promises": [{**_RELEASED, "why": None}],
        },
    ],
    "learned_from": {"customers": 2000, "touchpoints": 35562, "texts": 3464, "verdicts": 0,
                     "first_at": "2025-05-23T13:13:10.649552Z", "last_at": "2026-11-21T22:59:45.227064Z"},
    "history": [{"version": 1, "digest": "b35a…", "live_since": "2026-11-14T03:00:12Z", "by": "Ada",
                 "why": "beats every baseline", "forced": False, "gate": None}],
}  # fmt: skip
"""Figures are cut short."""

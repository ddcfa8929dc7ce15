"""The odds of the made-up car dealer, as data: what people do in each phase of intent, and how phases change.

Every rate is a mean number per day for one customer. A customer is in one *phase* (which changes) and has one *persona*
(which never does); the persona multiplies the rates of a channel. Nothing here draws or computes: `company.py` turns
these tables into arrays.
"""

TOUCHPOINTS: dict[str, str] = {  # the name of each touchpoint, and its stage
    "search.click": "convenience",
    "display.click": "convenience",
    "social.view": "convenience",
    "social.comment": "convenience",
    "web.visit": "convenience",
    "web.configure": "convenience",
    "web.compare": "convenience",
    "email.sent": "convenience",
    "email.open": "convenience",
    "email.click": "convenience",
    "app.open": "convenience",
    "ar.try": "convenience",
    "chat.message": "convenience",
    "dealer.visit": "sale",
    "dealer.test_drive": "sale",
    "dealer.test_drive_cancelled": "sale",
    "dealer.offer": "sale",
    "dealer.purchase": "sale",
    "dealer.return": "sale",
    "call.inquiry": "sale",
    "finance.apply": "sale",
    "workshop.visit": "post_sale",
    "call.complaint": "post_sale",
    "survey.answer": "post_sale",
    "review.post": "post_sale",
    "refund.paid": "post_sale",
    "app.connect": "post_sale",
    "loyalty.redeem": "post_sale",
}

EVENT_NAMES: dict[str, str] = {  # the name of a recorded event, and the touchpoint that it is
    "Search Clicked": "search.click",
    "Ad Clicked": "display.click",
    "Social Post Viewed": "social.view",
    "Social Comment Posted": "social.comment",
    "Page Viewed": "web.visit",
    "Product Configured": "web.configure",
    "Products Compared": "web.compare",
    "Email Sent": "email.sent",
    "Email Opened": "email.open",
    "Email Link Clicked": "email.click",
    "Application Opened": "app.open",
    "Augmented Reality Tried": "ar.try",
    "Chat Message Sent": "chat.message",
    "Dealer Visited": "dealer.visit",
    "Test Drive Taken": "dealer.test_drive",
    "Test Drive Cancelled": "dealer.test_drive_cancelled",
    "Offer Received": "dealer.offer",
    "Order Completed": "dealer.purchase",
    "Order Returned": "dealer.return",
    "Call Received": "call.inquiry",
    "Finance Applied": "finance.apply",
    "Workshop Visited": "workshop.visit",
    "Complaint Called": "call.complaint",
    "Survey Answered": "survey.answer",
    "Review Posted": "review.post",
    "Order Refunded": "refund.paid",
    "App Connected": "app.connect",
    "Loyalty Redeemed": "loyalty.redeem",
}

PURCHASE = "dealer.purchase"

SPOKEN: dict[str, tuple[str, ...]] = {  # touchpoints with words in them, and the polarities that their words can have
    "social.comment": ("negative", "neutral", "positive", "mixed"),
    "chat.message": ("negative", "neutral", "positive", "mixed"),
    "call.complaint": ("negative", "neutral", "mixed"),
    "survey.answer": ("negative", "neutral", "positive", "mixed"),
    "review.post": ("negative", "neutral", "positive", "mixed"),
}

# phase -> the share of its customers at their first touchpoint
START: dict[str, float] = {
    "curious": 0.44,
    "researching": 0.20,
    "comparing": 0.08,
    "ready": 0.03,
    "new_owner": 0.05,
    "content_owner": 0.16,
    "hurt_owner": 0.04,
}

# phase -> touchpoint -> how many a day
RATES: dict[str, dict[str, float]] = {
    "curious": {
        "display.click": 0.035, "social.view": 0.060, "search.click": 0.035, "web.visit": 0.040, "email.sent": 0.030,
        "email.open": 0.012, "social.comment": 0.004,
    },
    "researching": {
        "search.click": 0.080, "web.visit": 0.140, "web.configure": 0.070, "web.compare": 0.040, "ar.try": 0.040,
        "social.view": 0.050, "email.sent": 0.030, "email.open": 0.030, "email.click": 0.025, "app.open": 0.025,
        "chat.message": 0.015, "display.click": 0.010, "dealer.visit": 0.006,
    },
    "comparing": {
        "web.compare": 0.110, "web.configure": 0.080, "web.visit": 0.050, "chat.message": 0.035, "call.inquiry": 0.040,
        "dealer.visit": 0.045, "dealer.test_drive": 0.010, "dealer.test_drive_cancelled": 0.004, "ar.try": 0.025,
        "email.sent": 0.020, "email.open": 0.015, "email.click": 0.015, "social.comment": 0.004,
    },
    "ready": {
        "dealer.visit": 0.110, "dealer.test_drive": 0.055, "dealer.test_drive_cancelled": 0.010, "dealer.offer": 0.080,
        "finance.apply": 0.050, "call.inquiry": 0.050, "chat.message": 0.025, "web.configure": 0.030,
        "email.sent": 0.015, "email.click": 0.010, "dealer.purchase": 0.055,
    },
    "put_off": {
        "chat.message": 0.020, "review.post": 0.008, "social.comment": 0.012, "call.complaint": 0.020,
        "email.sent": 0.030, "web.compare": 0.010,
    },
    "paused": {"email.sent": 0.030, "email.open": 0.004, "display.click": 0.006, "social.view": 0.003},
    "new_owner": {
        "app.connect": 0.040, "app.open": 0.060, "survey.answer": 0.025, "review.post": 0.012, "email.sent": 0.020,
        "email.open": 0.015, "social.comment": 0.008, "workshop.visit": 0.005, "call.complaint": 0.003,
        "loyalty.redeem": 0.004,
    },
    "content_owner": {
        "workshop.visit": 0.008, "app.open": 0.016, "loyalty.redeem": 0.008, "email.sent": 0.015, "email.open": 0.008,
        "review.post": 0.003, "survey.answer": 0.005, "social.view": 0.005,
    },
    "hurt_owner": {
        "call.complaint": 0.040, "workshop.visit": 0.025, "survey.answer": 0.015, "review.post": 0.012,
        "chat.message": 0.020, "social.comment": 0.012, "dealer.return": 0.009, "email.sent": 0.015,
    },
    "refund_due": {"refund.paid": 0.080, "call.complaint": 0.050, "chat.message": 0.030, "dealer.visit": 0.010},
    "gone": {"email.sent": 0.006, "social.view": 0.0004},
}  # fmt: skip

# phase -> the phases that it slips into in silence, and how often a day
DRIFT: dict[str, dict[str, float]] = {
    "curious": {"researching": 0.010, "paused": 0.006, "gone": 0.024},
    "researching": {"comparing": 0.022, "curious": 0.003, "paused": 0.010, "gone": 0.022},
    "comparing": {"ready": 0.026, "paused": 0.008, "gone": 0.020},
    "ready": {"comparing": 0.003, "paused": 0.002, "gone": 0.004},
    "put_off": {"comparing": 0.020, "gone": 0.030},
    "paused": {"researching": 0.004, "comparing": 0.006, "gone": 0.006},
    "new_owner": {"content_owner": 0.018, "hurt_owner": 0.006},
    "content_owner": {"hurt_owner": 0.0015, "curious": 0.0006, "gone": 0.0010},
    "hurt_owner": {"content_owner": 0.012, "gone": 0.008},
    "refund_due": {"gone": 0.004},
}

# (touchpoint, polarity or None for all) -> phase before -> phases after: what a touchpoint itself does to people
JUMPS: dict[tuple[str, str | None], dict[str, dict[str, float]]] = {
    ("dealer.purchase", None): {"ready": {"new_owner": 1.0}},
    ("dealer.test_drive", None): {"comparing": {"ready": 0.45, "comparing": 0.45, "gone": 0.10}},
    ("dealer.test_drive_cancelled", None): {
        "comparing": {"put_off": 0.7, "comparing": 0.3},
        "ready": {"put_off": 0.6, "ready": 0.4},
    },
    ("dealer.return", None): {"hurt_owner": {"refund_due": 1.0}},
    ("refund.paid", None): {"refund_due": {"gone": 0.65, "researching": 0.20, "content_owner": 0.15}},
    ("workshop.visit", None): {"hurt_owner": {"content_owner": 0.25, "hurt_owner": 0.75}},
    ("review.post", "negative"): {
        "hurt_owner": {"gone": 0.2, "hurt_owner": 0.8},
        "put_off": {"gone": 0.5, "put_off": 0.5},
    },
    ("app.connect", None): {"new_owner": {"new_owner": 0.8, "content_owner": 0.2}},
}  # fmt: skip

# phase -> how its words feel, as shares of negative, neutral, positive, mixed
MOOD: dict[str, tuple[float, float, float, float]] = {
    "curious": (0.10, 0.50, 0.35, 0.05),
    "researching": (0.10, 0.55, 0.25, 0.10),
    "comparing": (0.15, 0.45, 0.20, 0.20),
    "ready": (0.06, 0.34, 0.45, 0.15),
    "put_off": (0.70, 0.08, 0.02, 0.20),
    "paused": (0.25, 0.25, 0.25, 0.25),
    "new_owner": (0.06, 0.10, 0.64, 0.20),
    "content_owner": (0.06, 0.16, 0.60, 0.18),
    "hurt_owner": (0.64, 0.06, 0.02, 0.28),
    "refund_due": (0.72, 0.10, 0.03, 0.15),
    "gone": (0.25, 0.25, 0.25, 0.25),
}

# persona -> (its share of the customers, channel -> what multiplies the rates of that channel; 1 where none is named)
PERSONAS: dict[str, tuple[float, dict[str, float]]] = {
    "screen": (
        0.40,
        {"web": 1.5, "ar": 2.4, "app": 1.8, "chat": 1.8, "social": 0.25, "dealer": 0.7, "call": 0.15, "display": 0.5,
         "email": 0.8, "search": 1.1},
    ),
    "phone": (
        0.33,
        {"social": 2.6, "app": 1.4, "call": 1.9, "web": 0.5, "ar": 0.4, "search": 0.5, "chat": 1.1, "dealer": 0.7,
         "display": 1.6, "email": 0.5},
    ),
    "showroom": (
        0.27,
        {"dealer": 1.7, "call": 1.6, "web": 0.35, "ar": 0.1, "app": 0.3, "social": 0.2, "search": 1.6, "chat": 0.2,
         "email": 1.7, "workshop": 1.5, "display": 0.6},
    ),
}  # fmt: skip

# What depends on the polarity of the words alone, and so tells nothing more of the phase.
NUANCES: dict[str, dict[str, float]] = {
    "negative": {"plain": 0.50, "ironic": 0.20, "resigned": 0.14, "politely_angry": 0.16},
    "neutral": {"plain": 1.0},
    "positive": {"plain": 1.0},
    "mixed": {"mixed": 0.65, "grateful_but_hurt": 0.35},
}
RATED = {"survey.answer": 0.95, "review.post": 0.85}  # how often stars come with the words
RATINGS: dict[str, tuple[float, float, float, float, float]] = {  # the shares of one to five stars
    "negative": (0.50, 0.34, 0.12, 0.03, 0.01),
    "neutral": (0.02, 0.10, 0.58, 0.26, 0.04),
    "positive": (0.00, 0.01, 0.05, 0.34, 0.60),
    "mixed": (0.04, 0.24, 0.44, 0.24, 0.04),
}

"""Whether tests are a campaign, and by which seed it chooses.

Their short forms, which run with the other tests, choose alike every time, so that a change is judged by itself; the
long ones (`make campaign`) choose anew. JOURNEY_CAMPAIGN_SEED repeats choices, though not the machine's timing.
"""

import os
import random

LONG = os.environ.get("JOURNEY_CAMPAIGN") == "1"
SEED = int(os.environ.get("JOURNEY_CAMPAIGN_SEED") or (random.SystemRandom().randrange(2**32) if LONG else 7))

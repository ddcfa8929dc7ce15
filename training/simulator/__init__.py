"""A made-up company with known odds: simulated customers, what they say, and the truth that no model can beat.

Made for tests, demonstrations and judging models; no line of it comes from real customers.
"""

from training.simulator.odds import EVENT_NAMES, TOUCHPOINTS
from training.simulator.write import pure_noise, simulate

__all__ = ["EVENT_NAMES", "TOUCHPOINTS", "pure_noise", "simulate"]

"""Floor 0: what customers did, in our words. Events in, journeys out; no features and no predictions."""

"""Drift: has the world moved since the champion learned, and is it time to train again?"""

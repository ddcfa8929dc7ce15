"""Measuring: any of our predictors on any data, each figure with its n and a 95 % interval. Publishes nothing."""

"""Delivery: changes as they are read, audiences, and webhooks that carry both to other tools."""

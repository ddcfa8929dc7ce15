"""Customers: who an id stands for, and their journeys."""

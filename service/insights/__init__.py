"""Insights: concluded, kept and answered; feedback in; stateless predictions."""

"""Speaks what models/ knows, and listens: events in, insights out. Never imports training."""

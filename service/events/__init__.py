"""Events in: the tracking API, the append-only log and the projector that folds it."""

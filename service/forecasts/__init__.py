"""Purchase probabilities that were served: kept, checked by what happened, and told how good they were."""

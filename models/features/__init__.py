"""Floor 1: a journey or a text as numbers, seen from one moment. The one definition of what a model sees."""

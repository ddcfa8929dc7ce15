"""What we know: journeys, features, predictors and how far to trust them. Imports neither training nor service."""

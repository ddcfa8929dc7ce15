"""What training refuses, and says why. Anything else that goes wrong is a fault, not a refusal."""


class TooLittleData(ValueError):
    """The data cannot support this model; the message says what is missing. Its question is answered `not_trained`."""

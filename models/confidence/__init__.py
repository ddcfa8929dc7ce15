"""How far to trust an answer: calibration, prediction sets, controlled risk. Numbers only: no journey, no feature."""

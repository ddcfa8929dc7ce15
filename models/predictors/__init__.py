"""Floor 2: how a fitted predictor answers, from ONNX Runtime and numpy: load, predict, explain."""

"""Model, dataset and metric cards from measured results, and what takes a checkpoint elsewhere: the Hub, ONNX."""

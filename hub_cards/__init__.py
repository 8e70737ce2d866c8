"""Model, dataset and metric cards from measured results, and what takes a checkpoint to the Hub, ONNX and GGUF."""

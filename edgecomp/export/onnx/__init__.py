"""A captured network as ONNX, and what is done to its graph."""

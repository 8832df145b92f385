"""An ONNX file as OpenVINO IR."""

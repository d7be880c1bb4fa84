"""The networks in torch, and as stateful ONNX graphs."""

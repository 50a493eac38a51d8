"""ONNX graphs: export, quantization, quantization error and cost."""

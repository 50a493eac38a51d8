"""ONNX graphs: rewriting, cost, quantization and its error a layer."""

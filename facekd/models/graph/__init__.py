"""Networks described by their graph of layers: read from foreign ONNX files, and made smaller by removing channels."""

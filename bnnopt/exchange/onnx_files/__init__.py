"""ONNX files: their nodes in order, their constants, what is not standard in them."""

"""What was trained, in the formats that other programs run: merged safetensors, GGUF, ONNX, an Ollama folder."""

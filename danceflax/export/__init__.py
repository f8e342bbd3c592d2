"""Networks as files that run without this project: ONNX and StableHLO (docs/export.md)."""

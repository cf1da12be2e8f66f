"""A run's networks as an ONNX file that says how volumes must be prepared for it."""

from volbench.export.onnx_file import Exported, export_onnx

__all__ = ["Exported", "export_onnx"]

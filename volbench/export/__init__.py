"""ONNX export of the networks of a run, with their preprocessing as metadata."""

from volbench.export.onnx_file import Exported, export_onnx

__all__ = ["Exported", "export_onnx"]

"""ONNX Runtime, which sends nothing anywhere; imported when a model is loaded."""

from __future__ import annotations

import os

# ONNX Runtime (1.31 on Linux) keeps an id of the machine in ~/.cache/Microsoft and sends events to Microsoft,
# unless this is set before it is imported; `disable_telemetry_events` comes too late.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime

__all__ = ["onnxruntime"]

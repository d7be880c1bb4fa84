"""How livesr opens an onnxruntime session: one thread, no spinning, no surprises."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeAlias

# Set before the import: official builds (such as 1.32) report every session to Microsoft, and keep
# an identifier and a database in the user's home directory. livesr is offline.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime as ort

Session: TypeAlias = ort.InferenceSession


def open_session(model: Path | bytes) -> Session:
    """A session on one thread that sleeps when idle.

    By default onnxruntime's threads spin, which keeps a core busy while a small network waits for
    the next hop.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    source = model if isinstance(model, bytes) else str(model)
    return Session(source, options, providers=["CPUExecutionProvider"])

"""livesr beside what people use instead: `python -m export.peers`."""

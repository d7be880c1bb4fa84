"""What livesr costs, beside other tools: `python -m export.peers`."""

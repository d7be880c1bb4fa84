"""What networks are trained on, computed by livesr's own stages and cached."""

"""Model files: found, checked, opened and described."""

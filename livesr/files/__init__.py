"""Sound files, recordings and sessions on disk."""

"""Batches, targets and runs."""

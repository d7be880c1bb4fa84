"""The stages that a stream passes, from samples to a decision.

None of them does input or output, starts a thread or reads a clock.
"""

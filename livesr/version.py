"""The version of livesr."""

__version__ = "0.2.0"

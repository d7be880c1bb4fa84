"""The terminal view: one renderable a file, each a pure function of its fields."""

from livesr.ui.view import View

__all__ = ["View"]

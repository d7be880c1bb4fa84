"""The terminal view: one renderable a file, each a pure function of its fields."""

from livesr.app.ui.view import View

__all__ = ["View"]

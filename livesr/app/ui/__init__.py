"""The terminal view: `View` is what there is to show; one renderable a file draws it."""

from livesr.app.ui.view import View

__all__ = ["View"]

"""`python -m livesr` is `livesr`."""

from livesr.app.cli import main

main()

"""`python -m livesr` is `livesr`."""

from livesr.cli import main

main()

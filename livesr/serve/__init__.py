"""`livesr serve`: many live voices on one machine, over websockets, and a page for a browser."""

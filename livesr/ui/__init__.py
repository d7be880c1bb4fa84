"""The terminal view: one renderable a file, each a pure function of its fields."""

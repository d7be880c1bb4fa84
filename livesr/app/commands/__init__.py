"""The commands, one a file; what a command needs is imported when it runs."""

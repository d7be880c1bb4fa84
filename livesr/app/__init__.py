"""What a person meets: command line, terminal, files written, report, benches."""

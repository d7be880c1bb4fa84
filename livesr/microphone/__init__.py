"""From a microphone to readings, live."""

"""Clips of emotional speech, and ways to alter their sound."""

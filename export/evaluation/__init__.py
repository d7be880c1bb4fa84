"""Clips and streams judged through livesr, and what is counted of them."""

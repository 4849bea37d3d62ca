"""Synthetic speech, spoken by espeak-ng."""

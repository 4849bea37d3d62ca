"""Recipes that pre-train the zoo."""

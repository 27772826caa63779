"""Impasto in a notebook."""

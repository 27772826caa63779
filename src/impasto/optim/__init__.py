"""Optimisers, and the loop that watches the loss."""

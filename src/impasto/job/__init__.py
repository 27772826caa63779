"""What goes into a painting and what comes out."""

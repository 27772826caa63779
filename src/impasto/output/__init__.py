"""How a painting is shown and written, shared by every front end."""

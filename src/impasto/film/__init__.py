"""Films: frames painted so that strokes move with things and do not flicker."""

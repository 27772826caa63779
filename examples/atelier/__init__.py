"""Painting by program: the brush and the motifs behind the bundled style pictures."""

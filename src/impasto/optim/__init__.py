"""How the pixels move: optimisers, and the loop that watches them."""

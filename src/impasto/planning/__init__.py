"""The cost of a painting: memory, arithmetic and time, predicted from sizes."""

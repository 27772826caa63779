"""What a painting takes: memory, arithmetic and time, predicted from sizes."""

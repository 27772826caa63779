"""What may be asked for: options, presets, networks and the words they are written in. No torch."""

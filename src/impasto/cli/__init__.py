"""The command `impasto`."""

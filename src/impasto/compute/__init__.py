"""The machine: its devices, memory and processes."""

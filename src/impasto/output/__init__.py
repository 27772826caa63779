"""Progress displays and output files, shared by all front ends."""

"""The painting itself: from a job to a result, size by size."""

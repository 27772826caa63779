"""Each front end turns input into a Job and shows its Steps; none knows a network or a loss."""

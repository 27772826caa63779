"""``impasto batch``: many pictures, on this machine's processes or on a cluster's.

entries (options from a job file or from folders) -> tasks (checked) -> executor -> journal, files
"""

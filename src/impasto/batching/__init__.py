"""``impasto batch``: many pictures, on this machine's processes or on a cluster's.

entries (words, as a file or folders say them) -> tasks (checked) -> executor -> journal, files
"""

"""Metrics of a result against its photograph and its painting: they help the eye.

Each family of metrics is a file of pure functions. `judge.measure` applies all of them and returns
a `results.Metrics`. `__init__.pyi` lists the names that are loaded on first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

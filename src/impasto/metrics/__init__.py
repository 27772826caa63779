"""How near a result is to its photograph and to its painting: aids for the eye, not truth.

Each family of measures is a file of pure functions. `judge.measure` applies all of them, and
`results.Metrics` holds what they give. `__init__.pyi` lists the names that are loaded on first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

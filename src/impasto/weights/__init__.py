"""The weights of the networks: downloaded, checked, cached and read.

`__init__.pyi` lists the names that are loaded on first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

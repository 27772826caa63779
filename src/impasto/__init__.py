"""Impasto: a photograph repainted in the manner of a painting.

    import impasto

    result = impasto.style_transfer("photograph.jpg", "painting.jpg", size=768)
    result.save("repainted.png")

`__init__.pyi` lists the public names. Each is loaded on first use, so importing the package
costs nothing.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

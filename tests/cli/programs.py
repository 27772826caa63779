"""Programs that run before the command, in its process, and change it for a test."""

_SLOWED = """
import importlib
import time
module = importlib.import_module("impasto.{module}")
at_once = module.{name}
def slowly(*arguments, **options):
    print("waiting", flush=True)
    time.sleep({delay_s})
    return at_once(*arguments, **options)
module.{name} = slowly
"""


def slowed(target, delay_s=1.0):
    """Let a function of impasto, such as ``images.save.write``, say "waiting" and take its time."""
    module, _, name = target.rpartition(".")
    return _SLOWED.format(module=module, name=name, delay_s=delay_s)

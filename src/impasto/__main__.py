"""``python -m impasto`` is the command ``impasto``."""

from impasto.frontends.cli import run

if __name__ == "__main__":
    run()

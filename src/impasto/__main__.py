"""``python -m impasto`` is the command ``impasto``."""

from impasto.cli.app import run

if __name__ == "__main__":
    run()

"""Measurements of this machine: a step, a whole painting, growth with the picture.

Each is compared with a reference that is measured in the same run: the machine's matrix product,
plain autograd, and the notebook that this package replaces.
"""

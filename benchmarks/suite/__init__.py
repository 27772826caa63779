"""Measurements of this machine: a step, a whole painting, growth with the picture.

Each stands beside what it is to be compared with, measured in the same run: the machine's
own matrix product, plain autograd, and the notebook that this package replaces.
"""

"""The name by which scripts of the NixOS test driver import parts of it.

Invariant: nothing is defined here; each module gives what :mod:`diorama` has by its older place.
"""

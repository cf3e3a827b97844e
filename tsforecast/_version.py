"""The version of this package, in a file of its own (so short) so that no module has to import the package's root."""

__version__ = "0.1.0"

"""The shell: API models, Kubernetes, rendering, settings, command line."""

__version__ = "0.1.0"

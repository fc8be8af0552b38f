"""tfmm: video models that decide which modality is worth computing.

Importing this package imports no TensorFlow, so that Beam workers and serving
clients stay small; the sub-packages that need TensorFlow import it when used.
"""

__version__ = '0.1.0'

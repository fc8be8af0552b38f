"""Records on disk to batches: tf.data and core TensorFlow ops only.

`segments` and `spectrogram` depend on nothing but TensorFlow, NumPy and SciPy, so
that exported graphs and serving clients use the very code that training uses.
"""

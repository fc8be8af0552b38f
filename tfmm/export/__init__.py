"""From a trained run to a SavedModel that TensorFlow Serving runs, and back.

* `record`: what the served model is (labels, sampling numbers), beside its graph.
* `preprocessing`: JPEGs and waveforms to views, inside the graph, open gates only;
  `served_pictures`: the kinds of pictures among them.
* `signatures`: the two served functions over one set of variables.
* `foreign_ops`: refuses what a plain TensorFlow Serving could not run.
* `warmup`: requests that the server runs before it answers.
* `saved_model`: writes `OUTPUT/<version>/` and checks what it wrote.
* `requests`: a video file to the arrays of one request.
* `predictor`, `chart`: answers of a SavedModel, as objects and as text.
"""

"""From raw videos to TFRecord shards with Apache Beam. No TensorFlow here.

`python -m beam_pipelines.prepare_videos --help` is the way in. One output shard is
one element of the pipeline, and only rows of the manifest cross a shuffle, so that the
bytes of a shard do not depend on the runner or on the number of workers.
"""

# The workers of prepare_videos, for Dataflow and for pools beside Flink. In the folder
# of README.md:
#
#   docker build -f tools/beam.Dockerfile -t IMAGE . && docker push IMAGE
#
# and then --sdk_container_image=IMAGE --sdk_location=container. Submit with the same
# constraints.txt: Beam wants the same versions on both sides.

# Must be the apache-beam of constraints.txt.
FROM apache/beam_python3.11_sdk:2.72.0

WORKDIR /opt/tfmm

# What workers import, without TensorFlow. The gcp extra is in the image already; naming
# it brings all of it to the versions of constraints.txt, which fit one another.
COPY constraints.txt ./
RUN pip install --no-cache-dir --constraint constraints.txt \
      absl-py apache-beam[gcp] av google-crc32c numpy protobuf scipy

COPY setup.py README.md ./
COPY tfmm tfmm
COPY beam_pipelines beam_pipelines
RUN pip install --no-cache-dir --no-deps .

# The one OpenCV here, and last: whichever of its wheels is written last wins. This one
# has TV-L1. (PyAV's wheel holds x264 and x265 under the GPL: mind that when you pass
# the image on.)
RUN pip install --no-cache-dir --no-deps --force-reinstall \
      --constraint constraints.txt opencv-contrib-python-headless

# Fails here rather than on a hundred machines.
WORKDIR /
RUN python -c "from tfmm.media import flow; flow.check('tvl1')" \
 && python -m beam_pipelines.worker < /dev/null | grep '"kind": "ready"' \
 && python -c "import sys, beam_pipelines.transforms; \
      sys.exit('tensorflow' in sys.modules)"

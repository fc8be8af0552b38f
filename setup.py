"""Packaging of tfmm. Exact versions of everything stand in constraints.txt:

  pip install -c constraints.txt -e .[gcp,test]
"""

import pathlib
import re

import setuptools

ROOT = pathlib.Path(__file__).parent
VERSION = re.search(r"^__version__ = '([^']+)'",
                    (ROOT / 'tfmm' / '__init__.py').read_text(encoding='utf-8'),
                    re.MULTILINE).group(1)
README = ROOT / 'README.md'

setuptools.setup(
    name='tfmm',
    version=VERSION,
    description='Video models that decide, segment by segment, which modality is '
                'worth computing',
    long_description=README.read_text(encoding='utf-8') if README.exists() else '',
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    # tensorflow-addons needs Keras 2, which ends with TensorFlow 2.15, which ends
    # with Python 3.11. Older Pythons would need pins of their own.
    python_requires='>=3.11,<3.12',
    packages=setuptools.find_packages(
        include=['tfmm', 'tfmm.*', 'beam_pipelines', 'beam_pipelines.*']),
    install_requires=[
        'apache-beam>=2.60,<2.73',  # from 2.73 the gcp extra asks for protobuf 6
        'gin-config>=0.5,<0.6',
        'keras-cv>=0.9,<0.10',
        'numpy>=1.26,<2',
        # tf-models-official asks for this wheel. The contrib and plain ones write
        # the same files: whichever is unpacked last wins, silently.
        'opencv-python-headless>=4.8,<4.12',
        'tensorflow>=2.15.1,<2.16',
        'tensorflow-addons>=0.23,<0.24',
        'tensorflow-hub>=0.16,<0.17',
        'tensorflow-io>=0.36,<0.37',
        'tf-models-official>=2.15,<2.16',
        'absl-py>=1.4',
        'av>=14.2',
        'google-crc32c>=1.5',  # checksums of TFRecords without TensorFlow
        'matplotlib>=3.8',
        'protobuf>=4.25,<5',
        'scikit-learn>=1.4',
        'scipy>=1.11',
        'setuptools<81',  # tensorflow-hub imports pkg_resources
        'tensorflow-serving-api>=2.15.1,<2.16',  # warm-up requests of exports
    ],
    extras_require={
        'gpu': ['tensorflow[and-cuda]>=2.15.1,<2.16'],
        'gcp': ['apache-beam[gcp]>=2.60,<2.73'],
        # An independent statement of AdaMML; its tests are skipped without it.
        'reference': ['torch>=2.13,<2.14'],
        'test': [
            'grpcio>=1.59',
            'imageio-ffmpeg>=0.5',  # FFmpeg's command; tools/bench_prepare.py times it
            'pytest>=8',
            'pytest-timeout>=2.3',
            'pytest-xdist>=3.6',
        ],
    },
)

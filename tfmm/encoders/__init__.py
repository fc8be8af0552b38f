"""Encoders: rows of one view [N, ...] in, one feature vector per row [N, D] out.

No gates and no losses here. Import the module you need, for example
`from tfmm.encoders import resnet`.
"""

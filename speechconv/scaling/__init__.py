"""Scaling: a list of stages to one that is wider, deeper, or gives more frames; tables as a preset's TOML has them.

    width         c channels -> multiplier c of them, rounded to a multiple of 8
    depth         a block and its repeats, n of them -> ceil(multiplier n)
    resolution    hop or stride S -> S / multiplier, multiplier times as many frames a second
    compound      depth alpha^phi, width beta^phi, resolution gamma^phi

Multiply-adds a second of audio grow as depth width^2 resolution: frames lie along one axis, where an image's pixels lie
along two.
"""

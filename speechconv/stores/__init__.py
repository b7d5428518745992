"""Features on disk: what is stored where, and who reads it again.

manifest       manifest.jsonl, errors.jsonl and skipped.jsonl: a line for each input, whole lines only
feature_file   one .npy, growing row by row, visible only when whole
whole_file     any other file, visible only when whole
walk           features that the lines of a manifest name, back again
statistics     mean and variance of every channel over all of them; statistics_file: as JSON, or for Kaldi
"""

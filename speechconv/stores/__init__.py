"""Features on disk: what is stored where, and who reads it again.

manifest       manifest.jsonl, errors.jsonl and skipped.jsonl: a line for each input, whole lines only
feature_file   one .npy, growing row by row, visible only when whole
"""

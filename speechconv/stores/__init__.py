"""Features on disk: what is stored where, and who reads it again.

ids               any id as a file's name or a key, and back
manifest          manifest.jsonl, errors.jsonl and skipped.jsonl: a line for each input, whole lines only
record            run.json as it is read again
feature_file      one .npy, growing row by row, visible only when whole
whole_file        any other file, visible only when whole
item              features on their way into a store, block by block
store             Store: what one is; registry: all of them
npy_tree, kaldi_ark, hdf5, webdataset_tar, safetensors_shard, parquet
packer            Packer: features one by one -> rolling shards
open_shards       OpenShards: features by their line of the manifest
feature_reader    FeatureReader: random access, a torch Dataset, batches by length
walk              features that the lines of a manifest name, one after the other
statistics        mean and variance of every channel over all of them; statistics_file: as JSON, or for Kaldi
conversion        convert: from one store to another
checking          check: is everything there?
"""

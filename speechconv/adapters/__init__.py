"""Other toolkits: their weights in, our interface out. One file a toolkit, imported only by name:

    from speechconv.adapters import huggingface, torchaudio

What they share, for checkpoints of wav2vec 2.0 and its kin: `checkpoint` reads files, `names` says which tensor is
which of ours, `wav2vec2` builds the pipeline, `fit` puts tensors in or lists what does not fit.
"""

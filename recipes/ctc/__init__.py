"""What the CTC recipes share, in the order of the work: vocabulary, model, training, decoding, scoring, run folder."""

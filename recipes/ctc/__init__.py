"""What the CTC recipes share, in the order of the work: recordings, vocabulary, model, training, decoding, scores."""

"""LibriSpeech with CTC, torchaudio's Conformer behind any front-end: prepare, train, evaluate."""

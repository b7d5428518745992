"""Learned filters verified against the STFT: what they are, how far they went, and whether they lose anything."""

"""transformers: our wav2vec 2.0 encoder inside Wav2Vec2ForCTC, then a pipeline of ours as an AutoModel.

python -m recipes.plug_in.huggingface
"""

from __future__ import annotations

import tempfile

import torch
from transformers import AutoFeatureExtractor, AutoModel, Wav2Vec2Config, Wav2Vec2ForCTC
from transformers.utils import logging

import speechconv as sc
from recipes.plug_in.melodies import SAMPLE_RATE, TOKENS, batches
from recipes.plug_in.outcome import Outcome, filters_of, outcome
from speechconv.adapters.huggingface import SpeechconvFeatureExtractor, SpeechconvModel, config_of, plug
from speechconv.adapters.huggingface_plug import mask_of

SMALL = {
    "hidden_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "intermediate_size": 96,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "mask_time_prob": 0.0,
    "layerdrop": 0.0,
}
STEPS, LR = 40, 5e-3


def main() -> Outcome:
    torch.manual_seed(0)
    logging.disable_progress_bar()
    encoder = sc.FeatureEncoder(channels=32)
    config = Wav2Vec2Config(**config_of(encoder), **SMALL, vocab_size=TOKENS, ctc_loss_reduction="mean")
    model = plug(Wav2Vec2ForCTC(config), encoder)
    result = train(model, encoder)
    print(f"Wav2Vec2ForCTC: {result}")
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        plain = Wav2Vec2ForCTC.from_pretrained(folder)  # which knows nothing of speechconv
    wav = next(batches(1, size=1, seed=1)).wav
    with torch.no_grad():
        difference = float((plain(wav).logits - model.eval()(wav).logits).abs().max())
    print(f"plain transformers reads what was saved: logits differ by {difference:.0e}")
    print(f"AutoModel: frames {tuple(round_trip(sc.Pipeline.from_preset('logmel')).shape)}, the same bits")
    return result


def train(model: Wav2Vec2ForCTC, encoder: sc.FeatureEncoder) -> Outcome:
    before, losses = filters_of(encoder), []
    optimiser = torch.optim.AdamW(model.parameters(), lr=LR)
    model.train()
    for batch in batches(STEPS):
        loss = model(
            batch.wav,
            mask_of(batch.lengths, batch.wav.shape[1]),
            labels=batch.tokens.masked_fill(batch.tokens == 0, -100),
        ).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return outcome(losses, before, encoder)


def round_trip(pipe: sc.Pipeline) -> torch.Tensor:
    """Frames of a batch by the pipeline that went through a folder of transformers.

    Raises:
        RuntimeError: frames that are not those of `pipe`.
    """
    with tempfile.TemporaryDirectory() as folder:
        SpeechconvModel.of(pipe).save_pretrained(folder)
        SpeechconvFeatureExtractor(sampling_rate=pipe.sample_rate).save_pretrained(folder)
        model, extractor = AutoModel.from_pretrained(folder), AutoFeatureExtractor.from_pretrained(folder)
    batch = next(batches(1))
    rows = [row[:length].numpy() for row, length in zip(batch.wav, batch.lengths, strict=True)]
    inputs = extractor(rows, sampling_rate=SAMPLE_RATE, padding=True, return_tensors="pt")
    frames = model(**inputs).last_hidden_state
    if not torch.equal(frames, pipe(batch.wav, batch.lengths)[0]):
        raise RuntimeError("AutoModel gave other frames than the pipeline that was saved.")
    return frames


if __name__ == "__main__":
    main()

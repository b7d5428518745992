"""lhotse: a pipeline trained on cuts, then its features of them, stored by lhotse.

python -m recipes.plug_in.lhotse

The filters learn from lhotse's AudioSamples; as a feature extractor, which lhotse runs without gradients, the pipeline
comes in once it is saved.
"""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import Any

import soundfile
import torch
import torch.nn.functional as F
from lhotse import CutSet, Recording, SupervisionSegment
from lhotse.dataset import AudioSamples, K2SpeechRecognitionDataset, SimpleCutSampler
from torch import Tensor, nn
from torch.utils.data import DataLoader

import speechconv as sc
from recipes.plug_in.melodies import SAMPLE_RATE, TOKENS, batches
from recipes.plug_in.outcome import Outcome, filters_of, outcome
from speechconv.adapters.lhotse import Extractor, ExtractorConfig, ZeroPadded

WIDTH = 32
STEPS, SIZE, LR = 40, 8, 5e-3


def main() -> Outcome:
    torch.manual_seed(0)
    pipe = sc.Pipeline.from_preset("logmel", stft={"learn": "delta"}, mel={"n_mels": WIDTH}, log={"floor": 1e-6})
    cuts = melodies()
    result = train(pipe, cuts)
    print(f"AudioSamples: {result}")
    with tempfile.TemporaryDirectory() as folder:
        print(f"features: {extract(pipe, cuts.subset(first=SIZE), Path(folder))}")
    return result


def melodies() -> Any:
    """Cuts of recordings in memory; the text of each is its tones."""
    cuts = []
    for batch in batches(STEPS, size=SIZE):
        for wav, length, tokens, count in zip(batch.wav, batch.lengths, batch.tokens, batch.counts, strict=True):
            file, name = io.BytesIO(), f"melody-{len(cuts)}"
            soundfile.write(file, wav[:length].numpy(), SAMPLE_RATE, "FLOAT", format="WAV")
            cut = Recording.from_bytes(file.getvalue(), name).to_cut()
            text = " ".join(map(str, tokens[:count].tolist()))
            cut.supervisions = [SupervisionSegment(name, name, 0, cut.duration, text=text)]
            cuts.append(cut)
    return CutSet.from_cuts(cuts)


def train(pipe: sc.Pipeline, cuts: CutSet) -> Outcome:
    """CTC behind a convolution, on the waveforms that lhotse's own dataset collates."""
    head = sc.Sequential(
        sc.LayerNorm(WIDTH), sc.Conv1d(WIDTH, WIDTH, 9, padding="same"), nn.GELU(), nn.Linear(WIDTH, TOKENS)
    )
    before, losses = filters_of(pipe), []
    optimiser = torch.optim.AdamW([*pipe.parameters(), *head.parameters()], lr=LR)
    dataset = K2SpeechRecognitionDataset(input_strategy=AudioSamples())
    sampler = SimpleCutSampler(cuts, max_cuts=SIZE)
    for batch in DataLoader(dataset, sampler=sampler, batch_size=None):
        supervisions = batch["supervisions"]
        logits, counts = head(*pipe(batch["inputs"], supervisions["num_samples"].long()))
        loss = ctc(logits, counts, supervisions["text"])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return outcome(losses, before, pipe)


def ctc(logits: Tensor, counts: Tensor, texts: list[str]) -> Tensor:
    tokens = [torch.tensor(list(map(int, text.split()))) for text in texts]
    sizes = torch.tensor(list(map(len, tokens)))
    return F.ctc_loss(logits.log_softmax(-1).transpose(0, 1), torch.cat(tokens), counts, sizes)


def extract(pipe: sc.Pipeline, cuts: CutSet, folder: Path) -> str:
    """Features by the saved pipeline, stored by lhotse and computed on the fly, the same ones.

    Raises:
        RuntimeError: other ones.
    """
    pipe.save(folder / "front.safetensors")
    extractor = Extractor(ExtractorConfig(str(folder / "front.safetensors")))
    stored: Any = cuts.compute_and_store_features(extractor, folder / "features")
    inputs, counts = ZeroPadded(extractor)(stored)
    for cut, features, count in zip(stored, inputs, counts, strict=True):
        if not torch.allclose(torch.from_numpy(cut.load_features()), features[:count], atol=1e-4):
            raise RuntimeError(f"{cut.id}: the stored features are not those that are computed on the fly.")
    return f"{len(stored)} cuts stored, {tuple(inputs.shape)} on the fly, the same frames"


if __name__ == "__main__":
    main()

"""torchaudio: a pipeline of ours before its Conformer, and our wav2vec 2.0 encoder inside its Wav2Vec2Model.

python -m recipes.plug_in.torchaudio
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchaudio.models import Conformer, wav2vec2_model

import speechconv as sc
from recipes.plug_in.melodies import SAMPLE_RATE, TOKENS, Melodies, batches
from recipes.plug_in.outcome import Outcome, filters_of, outcome
from speechconv.adapters.torchaudio import plug

CHANNELS = 32
STEPS, LR = 40, 5e-3


class Recogniser(nn.Module):
    """Learnable STFT, log mel, one of our Conformer modules, torchaudio's Conformer, tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.front = sc.Pipeline(
            [
                sc.ConvSTFT(400, hop_length=320, center=False, learn="delta", output="power"),
                sc.Mel(CHANNELS, sample_rate=SAMPLE_RATE, n_fft=400),
                sc.Log(floor=1e-6),
                sc.LayerNorm(CHANNELS),
                sc.Residual(sc.ConformerConvModule(CHANNELS, kernel_size=5, norm="layer")),
            ],
            sample_rate=SAMPLE_RATE,
        )
        self.conformer = Conformer(CHANNELS, 4, 2 * CHANNELS, num_layers=1, depthwise_conv_kernel_size=5)
        self.head = nn.Linear(CHANNELS, TOKENS)

    def forward(self, wav: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        frames, counts = self.conformer(*self.front(wav, lengths))
        return self.head(frames), counts


def main() -> dict[str, Outcome]:
    torch.manual_seed(0)
    recogniser = Recogniser()
    encoder = sc.FeatureEncoder(channels=CHANNELS, norm="layer", bias=True)
    convs = [(CHANNELS, kernel, stride) for kernel, stride in zip(encoder.kernel_sizes, encoder.strides, strict=True)]
    model = wav2vec2_model("layer_norm", convs, True, 48, 0.0, 16, 4, 1, 4, 0.0, 96, 0.0, 0.0, False, 0.0, TOKENS)
    results = {
        "Conformer": train(recogniser, recogniser.front, recogniser),
        "Wav2Vec2Model": train(plug(model, encoder), encoder, model),
    }
    for name, result in results.items():
        print(f"{name}: {result}")
    return results


def train(model: nn.Module, encoder: nn.Module, logits: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]) -> Outcome:
    """CTC on melodies; `logits` gives those of a batch, and their counts."""
    before, losses = filters_of(encoder), []
    optimiser = torch.optim.AdamW(model.parameters(), lr=LR)
    model.train()
    for batch in batches(STEPS):
        loss = ctc(*logits(batch.wav, batch.lengths), batch)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return outcome(losses, before, encoder)


def ctc(logits: Tensor, counts: Tensor, batch: Melodies) -> Tensor:
    return F.ctc_loss(logits.log_softmax(-1).transpose(0, 1), batch.tokens, counts, batch.counts)


if __name__ == "__main__":
    main()

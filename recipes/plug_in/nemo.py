"""NeMo: log-mel whose filters learn as the preprocessor of an EncDecCTCModel, a Conformer behind it.

python -m recipes.plug_in.nemo
"""

from __future__ import annotations

from typing import Any

import torch

# In a venv of its own, which pyright does not see.
# pyright: reportMissingImports=false
from nemo.collections.asr.models import EncDecCTCModel
from nemo.utils import logging
from omegaconf import OmegaConf

from recipes.plug_in.melodies import SAMPLE_RATE, TOKENS, batches
from recipes.plug_in.outcome import Outcome, filters_of, outcome
from speechconv.adapters.nemo import Preprocessor

MELS, WIDTH = 32, 32
STEPS, LR = 40, 5e-3
MODULES = "nemo.collections.asr.modules"
CONFIG: dict[str, Any] = {
    "sample_rate": SAMPLE_RATE,
    "preprocessor": {"_target_": f"{MODULES}.AudioToMelSpectrogramPreprocessor"},  # which is replaced
    "encoder": {
        "_target_": f"{MODULES}.ConformerEncoder",
        "feat_in": MELS,
        "n_layers": 1,
        "d_model": WIDTH,
        "n_heads": 4,
        "conv_kernel_size": 5,
        "subsampling": "striding",
        "subsampling_factor": 2,
    },
    "decoder": {
        "_target_": f"{MODULES}.ConvASRDecoder",
        "feat_in": WIDTH,
        "num_classes": TOKENS - 1,
        "vocabulary": list(map(str, range(1, TOKENS))),
    },
}


def main() -> Outcome:
    torch.manual_seed(0)
    logging.setLevel(logging.ERROR)
    model = EncDecCTCModel(OmegaConf.create(CONFIG))
    preprocessor = Preprocessor("logmel", {"stft": {"learn": "delta"}, "mel": {"n_mels": MELS}, "log": {"floor": 1e-6}})
    model.preprocessor = preprocessor
    result = train(model, preprocessor)
    print(f"EncDecCTCModel: {result}")
    return result


def train(model: EncDecCTCModel, preprocessor: Preprocessor) -> Outcome:
    before, losses = filters_of(preprocessor), []
    optimiser = torch.optim.AdamW(model.parameters(), lr=LR)
    model.train()
    for batch in batches(STEPS):
        log_probs, counts, _ = model(input_signal=batch.wav, input_signal_length=batch.lengths)
        loss = model.loss(
            log_probs=log_probs,
            targets=batch.tokens - 1,  # NeMo's blank is its last class
            input_lengths=counts,
            target_lengths=batch.counts,
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return outcome(losses, before, preprocessor)


if __name__ == "__main__":
    main()

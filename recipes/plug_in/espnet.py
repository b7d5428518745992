"""ESPnet: log-mel whose filters learn as the front-end of an ESPnetASRModel, Conformer and CTC behind it.

python -m recipes.plug_in.espnet
"""

from __future__ import annotations

import warnings

import torch

# In a venv of its own, which pyright does not see.
# pyright: reportMissingImports=false
from espnet2.asr.ctc import CTC
from espnet2.asr.encoder.conformer_encoder import ConformerEncoder
from espnet2.asr.espnet_model import ESPnetASRModel

from recipes.plug_in.melodies import TOKENS, batches
from recipes.plug_in.outcome import Outcome, filters_of, outcome
from speechconv.adapters.espnet import Frontend

WIDTH = 32
STEPS, LR = 40, 5e-3


def main() -> Outcome:
    torch.manual_seed(0)
    warnings.filterwarnings("ignore", message=".*torch.cuda.amp.autocast", category=FutureWarning)
    frontend = Frontend("logmel", {"stft": {"learn": "delta"}, "mel": {"n_mels": 32}, "log": {"floor": 1e-6}})
    result = train(recogniser(frontend), frontend)
    print(f"ESPnetASRModel: {result}")
    return result


def recogniser(frontend: Frontend) -> ESPnetASRModel:
    encoder = ConformerEncoder(
        frontend.output_size(),
        output_size=WIDTH,
        attention_heads=4,
        linear_units=2 * WIDTH,
        num_blocks=1,
        input_layer="conv2d2",
        rel_pos_type="latest",
        pos_enc_layer_type="rel_pos",
        selfattention_layer_type="rel_selfattn",
        cnn_module_kernel=5,
    )
    unused = ("specaug", "normalize", "preencoder", "postencoder", "decoder", "joint_network")
    return ESPnetASRModel(
        vocab_size=TOKENS,
        token_list=["<blank>", *map(str, range(1, TOKENS))],
        frontend=frontend,
        encoder=encoder,
        ctc=CTC(TOKENS, WIDTH),
        ctc_weight=1.0,
        report_cer=False,
        report_wer=False,
        **dict.fromkeys(unused),
    )


def train(model: ESPnetASRModel, frontend: Frontend) -> Outcome:
    before, losses = filters_of(frontend), []
    optimiser = torch.optim.AdamW(model.parameters(), lr=LR)
    model.train()
    for batch in batches(STEPS):
        loss, _, _ = model(batch.wav, batch.lengths, batch.tokens, batch.counts)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return outcome(losses, before, frontend)


if __name__ == "__main__":
    main()

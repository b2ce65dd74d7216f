# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A VAE with a GPT-2 decoder as one writes it with ``transformers`` alone, and a tiny GPT-2."""

from __future__ import annotations

import json
import string
import tempfile
from itertools import product
from pathlib import Path

import tokenizers
import torch
import torch.nn.functional as F
from tokenizers import decoders, models, pre_tokenizers
from torch import Tensor, nn

from pyro_textvae.data import train_tokenizer
from pyro_textvae.guides import GaussianGuide
from pyro_textvae.nn.hugging_face import HuggingFaceDecoder
from pyro_textvae.nn.hugging_face.loading import quietly
from pyro_textvae.special_tokens import BOS, PAD

MAX_LENGTH = 100


class HandWrittenPretrained(nn.Module):
    """z as a key and a value of every layer, and the cross-entropy over GPT-2's whole vocabulary.

    :param decoder: whose GPT-2 and map of z it has.
    :param guide: whose encoder and maps it has.
    """

    def __init__(self, decoder: HuggingFaceDecoder, guide: GaussianGuide) -> None:
        super().__init__()
        self.gpt2 = decoder.network.network
        self.memory = decoder.slots
        self.encoder, self.loc, self.log_variance = guide.encoder, guide.loc, guide.log_variance
        self.register_buffer("ids", decoder.embedding.their_ids, persistent=False)

    def loss(self, tokens: Tensor, _: str) -> Tensor:
        """Minus the bound of all sentences together."""
        from transformers import DynamicCache

        features = self.encoder(tokens)
        loc, log_variance = self.loc(features), self.log_variance(features)
        z = loc + (0.5 * log_variance).exp() * torch.randn_like(loc)
        kl = 0.5 * (loc**2 + log_variance.exp() - 1 - log_variance).sum()

        config, cache = self.gpt2.config, DynamicCache()
        slots = self.memory(z).view(len(z), 2 * config.n_layer, config.n_head, 1, -1)
        for layer in range(config.n_layer):
            cache.update(slots[:, 2 * layer], slots[:, 2 * layer + 1], layer)
        bos = torch.full_like(tokens[:, :1], BOS)
        inputs = self.ids[torch.cat([bos, tokens[:, :-1]], 1)]
        places = torch.arange(inputs.shape[1], device=inputs.device).unsqueeze(0)
        logits = self.gpt2(input_ids=inputs, cache=cache, position_ids=places).logits
        targets = self.ids[tokens].masked_fill(tokens == PAD, -100)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum") + kl


def tiny_decoder(latent_dim: int, fine_tuning: str) -> HuggingFaceDecoder:
    """Random weights: 4 layers of 128, and the 3,844 pairs of letters and digits beside bytes."""
    from transformers import GPT2Config, GPT2LMHeadModel

    letters = string.ascii_letters + string.digits
    merges = list(product(letters, letters))
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = ["<|endoftext|>", *alphabet, *map("".join, merges)]
    backend = tokenizers.Tokenizer(
        models.BPE(vocab={token: place for place, token in enumerate(tokens)}, merges=merges)
    )
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    config = GPT2Config(
        vocab_size=len(tokens),
        n_embd=128,
        n_layer=4,
        n_head=4,
        n_positions=2 * MAX_LENGTH,
        bos_token_id=0,
        eos_token_id=0,
    )
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        with quietly():
            GPT2LMHeadModel(config).save_pretrained(folder)
        backend.save(f"{folder}/tokenizer.json")
        roles = {"bos_token": tokens[0], "eos_token": tokens[0]}
        Path(folder, "tokenizer_config.json").write_text(json.dumps(roles))
        tokenizer = train_tokenizer([], f"hf:{folder}")
        return HuggingFaceDecoder(
            folder, tokenizer, latent_dim, MAX_LENGTH, fine_tuning=fine_tuning
        )

# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A pre-trained model as the encoder of a guide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pyro_textvae.data import Tokenizer
from pyro_textvae.data.hugging_face import ModelFolder, Vocabulary
from pyro_textvae.distributions import sentence_mask
from pyro_textvae.errors import UserError, in_one_line
from pyro_textvae.nn.encoder import Encoder
from pyro_textvae.nn.hugging_face.loading import load_encoder
from pyro_textvae.nn.hugging_face.pretrained import Adapters, Pretrained
from pyro_textvae.nn.hugging_face.their_text import TheirText

_POOLINGS = ("mean", "first", "last")


class HuggingFaceEncoder(Encoder):
    """Features of any model of ``transformers`` that reads text: BERT, T5's encoder, GPT-2, ...

    Text in the model's own tokens is taken as it is, with its ``[CLS]`` and ``[SEP]`` around it;
    text in others is decoded and encoded again, so that the encoder may have another tokenizer than
    the decoder.

    Source: Li et al. (2020), Optimus, https://arxiv.org/abs/2004.04092; Reimers and Gurevych
    (2019), Sentence-BERT, https://arxiv.org/abs/1908.10084, for the mean.

    :param path: a folder with config.json, safetensors and tokenizer.json.
    :param tokenizer: of the text.
    :param pooling: ``mean`` over the places, or the ``first`` or ``last`` of them.
    :param fine_tuning: ``full`` trains all of the model, ``lora`` adapters alone, ``none`` nothing.
    :param lora_rank: rank of the adapters.
    :param lora_alpha: what they are multiplied by, times the rank.
    :param lora_dropout: rate on their inputs.
    :param lora_targets: ends of the names of the layers that get one; by default what ``peft`` has
        for the architecture.
    :raises UserError: for a folder that holds no such model, an unknown pooling, and adapters that
        match no layer.
    """

    def __init__(
        self,
        path: str,
        tokenizer: Tokenizer,
        *,
        pooling: str = "mean",
        fine_tuning: str = "full",
        lora_rank: int = 8,
        lora_alpha: int = 16,
        lora_dropout: float = 0.0,
        lora_targets: Sequence[str] | None = None,
    ) -> None:
        if pooling not in _POOLINGS:
            raise UserError(f"pooling must be of {', '.join(_POOLINGS)}, got {pooling!r}")
        super().__init__()
        folder = ModelFolder(path)
        self.path = path
        self.vocab_size = len(tokenizer)
        self.pooling = pooling
        self.fine_tuning = fine_tuning
        self.lora_rank, self.lora_alpha = lora_rank, lora_alpha
        self.lora_dropout, self.lora_targets = lora_dropout, lora_targets
        network: Any = load_encoder(folder)
        self.their_text = TheirText(
            Vocabulary(folder), tokenizer, getattr(network.config, "max_position_embeddings", None)
        )
        adapters = Adapters(lora_rank, lora_alpha, lora_dropout, lora_targets)
        self.network = Pretrained(network, folder, fine_tuning, adapters)
        try:
            self.embedding_dim: int = network.get_input_embeddings().weight.shape[-1]
            with torch.no_grad():
                features = self.encode_embeddings(torch.zeros(1, 2, self.embedding_dim))
        except Exception as error:
            raise UserError(
                f"{folder} cannot be an encoder of text ({in_one_line(error)}): give --encoder "
                "another model"
            ) from error
        self.output_dim = features.shape[-1]

    def forward(self, tokens: Tensor) -> Tensor:
        """Features ``(N, output_dim)`` of right-padded ``tokens`` ``(N, T)``; see ``Encoder``.

        :raises UserError: for what are no ids, and for a text beyond the places of the model.
        """
        if tokens.dtype not in (torch.int64, torch.int32):
            raise UserError(f"an encoder takes ids, int64 (N, T), got {tokens.dtype}")
        ids, mask = self.their_text(tokens.long(), sentence_mask(tokens))
        network: Any = self.network.network
        return self._pooled(network(input_ids=ids, attention_mask=mask.long()), mask)

    def encode_embeddings(self, embeddings: Tensor, mask: Tensor | None = None) -> Tensor:
        """Features ``(N, output_dim)`` of vectors ``(N, T, embedding_dim)``; see ``Encoder``."""
        if mask is None:
            mask = torch.ones(embeddings.shape[:-1], dtype=torch.bool, device=embeddings.device)
        network: Any = self.network.network
        outputs = network(inputs_embeds=embeddings, attention_mask=mask.long())
        return self._pooled(outputs, mask)

    def _pooled(self, outputs: Any, mask: Tensor) -> Tensor:
        hidden = outputs.last_hidden_state
        if self.pooling == "first":
            return hidden[:, 0]
        if self.pooling == "last":
            last = mask.sum(-1) - 1
            return hidden[torch.arange(len(hidden), device=hidden.device), last]
        weights = mask.unsqueeze(-1).to(hidden.dtype)
        return (hidden * weights).sum(1) / weights.sum(1)

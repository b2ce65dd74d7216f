# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Whether what a decoder generates word by word is what it scores as a whole."""

from __future__ import annotations

import torch
from pyro import poutine
from torch import Tensor

from pyro_textvae.distributions import AutoregressiveCategorical
from pyro_textvae.distributions.autoregressive_categorical import sentence_mask
from pyro_textvae.distributions.unwrapped import unwrapped
from pyro_textvae.infer.sites import random_sites
from pyro_textvae.nn.decoder import Decoder
from pyro_textvae.special_tokens import FIRST_EMITTED
from pyro_textvae.testing.demands import demand_close


def check_generation(trace: poutine.Trace) -> None:
    """Check that every text of a model has the probability by which it is generated.

    A decoder says twice how it goes from word to word: for a known sentence and for one that it
    generates. Where the second forgets z, say, all scores are right and all samples wrong.

    :param trace: of the model on a text.
    :raises ContractError: with the site and the decoder, for a text whose two scores differ.
    """
    for name, site in random_sites(trace):
        text = unwrapped(site["fn"])
        if not isinstance(text, AutoregressiveCategorical):
            continue
        kind = type(text.network).__name__
        methods = ("token_log_prob", "initial_state", "step")
        if isinstance(text.network, Decoder):
            methods = ("unroll", "initial_state", "advance")
        value = site["value"].expand(text.batch_shape + site["value"].shape[-1:])
        with torch.no_grad():
            known, generated = text.log_prob(value), log_prob_word_by_word(text, value)
        demand_close(
            known.flatten(),
            generated.flatten(),
            f"{kind} gives text at site {name!r} another log-probability as a whole than word by "
            f"word, as it generates: let {methods[0]} agree with {methods[1]} and {methods[2]}",
        )


def log_prob_word_by_word(text: AutoregressiveCategorical, value: Tensor) -> Tensor:
    """The log-probability by which generation makes each row of ids, ``batch_shape``; nats.

    >>> from pyro_textvae.nn import GRUDecoder
    >>> decoder = GRUDecoder(
    ...     vocab_size=9, embedding_dim=4, hidden_dim=5, latent_dim=3, max_length=7
    ... )
    >>> text, rows = decoder(torch.randn(2, 3)), torch.tensor([[4, 5, 2], [6, 2, 0]])
    >>> torch.allclose(log_prob_word_by_word(text, rows), text.log_prob(rows))
    True

    :param value: ``(*batch_shape, T)``, each row ending in ``<eos>`` or ``max_length`` long.
    """
    rows = value.reshape(-1, value.shape[-1])
    classes = (rows - FIRST_EMITTED).clamp(min=0)
    counts = sentence_mask(rows)
    parts: list[Tensor] = []

    def next_known_token(scores: Tensor) -> Tensor:
        # A row that has ended says <eos> again, which generation does not look at.
        place = min(len(parts), rows.shape[-1] - 1)
        chosen = classes[:, place]
        log_prob = scores.log_softmax(-1).gather(-1, chosen.unsqueeze(-1)).squeeze(-1)
        parts.append(torch.where(counts[:, place], log_prob, 0.0))
        return chosen

    text.generate(next_known_token)
    return torch.stack(parts[: rows.shape[-1]]).sum(0).reshape(text.batch_shape)

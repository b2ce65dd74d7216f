# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The programs of this folder as small pairs in float64, with a batch each."""

import pyro
import torch

from pyro_textvae.nn import BagOfWordsEncoder, LSTMDecoder
from tests.programs.conditional import ConditionalGuide, ConditionalVAE
from tests.programs.hierarchy import HierarchyGuide, HierarchyVAE
from tests.programs.two_plates import (
    ConversationGuide,
    ConversationVAE,
    TopicGuide,
    TopicOfConversation,
)
from tests.quadrature import TinyTextModel

CONVERSATIONS = torch.tensor(
    [
        [[5, 9, 5, 2], [3, 7, 2, 0], [2, 0, 0, 0]],
        [[17, 6, 2, 0], [0, 0, 0, 0], [0, 0, 0, 0]],
        [[2, 0, 0, 0], [4, 4, 2, 0], [0, 0, 0, 0]],
    ]
)
"""Three conversations of three, one and two turns."""

TEXT_AND_SOURCE = {
    "tokens": torch.tensor([[4, 5, 3, 2, 0], [2, 0, 0, 0, 0], [6, 3, 4, 5, 2], [5, 6, 2, 0, 0]]),
    "source": torch.tensor([[4, 2, 0], [5, 5, 2], [3, 2, 0], [6, 4, 2]]),
}


def conversations(data_dim, *, turn_latents=True):
    """Model and guide of two plates; scores in closed form, one latent dimension each."""
    pyro.set_rng_seed(0)
    model_class = ConversationVAE if turn_latents else TopicOfConversation
    guide_class = ConversationGuide if turn_latents else TopicGuide
    model = model_class(TinyTextModel(1), 1, data_dim).double()
    with torch.no_grad():
        model.mean.weight.fill_(0.8)
    encoder = BagOfWordsEncoder(20, 3, 6)
    guide = guide_class(encoder, 1, data_dim).double()
    for layer in [guide.z, guide.z_turn] if turn_latents else [guide.z]:
        with torch.no_grad():
            layer.bias.copy_(torch.tensor([0.1, 0.2]))
    return model.eval(), guide.eval()


def conditional(latent_dim=2):
    """Model and guide of texts with a source, with weights that depend on z and on the source."""
    pyro.set_rng_seed(0)
    sizes = {"vocab_size": 7, "embedding_dim": 3, "hidden_dim": 4, "latent_dim": latent_dim}
    model = ConditionalVAE(max_length=6, **sizes).double()
    guide = ConditionalGuide(**sizes).double()
    with torch.no_grad():
        for parameter in (*model.parameters(), *guide.parameters()):
            parameter.mul_(2.0)
    return model.eval(), guide.eval()


def hierarchy(latent_dim=2):
    """A ladder of two latents: z is drawn from the topic, in the model and in the guide."""
    pyro.set_rng_seed(0)
    sizes = {"vocab_size": 7, "embedding_dim": 3, "hidden_dim": 4}
    decoder = LSTMDecoder(**sizes, latent_dim=latent_dim, max_length=6)
    model = HierarchyVAE(decoder, latent_dim).double()
    guide = HierarchyGuide(BagOfWordsEncoder(**sizes), latent_dim).double()
    return model.eval(), guide.eval()

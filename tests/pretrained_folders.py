# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Pre-trained models of random weights, a few kilobytes each, made on the spot."""

import json
from pathlib import Path

import pytest
import tokenizers
import torch
from tokenizers import (
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

TEXTS = [
    "the cat sat on the mat",
    "a dog runs up the hill",
    "the old man said no",
    "Hello, world! What's new?",
]
MOST_PLACES = 48
VOCABULARY = 320
"""Rows of the tables, more than there are tokens."""


def folder_of(name, path):
    """A folder with the model ``name``, one of the functions below, as ``save_pretrained`` makes.

    Skips the test where transformers is not installed.
    """
    transformers = pytest.importorskip("transformers", reason="the extra [hf] is not installed")
    path = Path(path)
    if not path.is_dir():
        path.mkdir(parents=True)
        tokenizer, roles, model = _MODELS[name](transformers)
        tokenizer.save(str(path / "tokenizer.json"))
        (path / "tokenizer_config.json").write_text(json.dumps(roles))
        save(model, path)
    return str(path)


def save(model, path):
    """What ``save_pretrained`` writes, in silence."""
    from pyro_textvae.nn.hugging_face.loading import quietly

    with quietly():
        model.save_pretrained(path)


def _gpt2(transformers):
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.post_processor = processors.ByteLevel(trim_offsets=False)
    backend.decoder = decoders.ByteLevel()
    backend.train_from_iterator(
        TEXTS,
        trainers.BpeTrainer(
            vocab_size=290,
            special_tokens=["<|endoftext|>"],
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        ),
    )
    roles = dict.fromkeys(("bos_token", "eos_token", "unk_token"), "<|endoftext|>")
    config = transformers.GPT2Config(
        vocab_size=VOCABULARY,
        n_embd=16,
        n_layer=2,
        n_head=2,
        n_positions=MOST_PLACES,
        bos_token_id=0,
        eos_token_id=0,
        initializer_range=0.3,
    )
    return backend, roles, _drawn(transformers.AutoModelForCausalLM, config)


def _llama(transformers):
    """Sentencepiece's way: spaces are letters, unknown letters are bytes."""
    backend = tokenizers.Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    backend.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    backend.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    all_bytes = [f"<0x{byte:02X}>" for byte in range(256)]
    backend.train_from_iterator(
        TEXTS,
        trainers.BpeTrainer(
            vocab_size=310,
            special_tokens=["<unk>", "<s>", "</s>", *all_bytes],
            show_progress=False,
        ),
    )
    # A trainer makes every one of these a special token; of Llama's, three are.
    content = json.loads(backend.to_str())
    content["added_tokens"] = content["added_tokens"][:3]
    backend = tokenizers.Tokenizer.from_str(json.dumps(content))
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    roles = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": {"content": "<unk>"}}
    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=MOST_PLACES,
        tie_word_embeddings=False,
        initializer_range=0.3,
    )
    return backend, roles, _drawn(transformers.AutoModelForCausalLM, config)


def _bert(transformers):
    backend = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    backend.train_from_iterator(
        TEXTS,
        trainers.WordPieceTrainer(vocab_size=80, special_tokens=special, show_progress=False),
    )
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    # As sentence encoders are saved.
    backend.enable_padding(length=16)
    backend.enable_truncation(16)
    roles = {f"{token[1:-1].lower()}_token": token for token in special}
    config = transformers.BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=MOST_PLACES,
        initializer_range=0.3,
    )
    return backend, roles, _drawn(transformers.AutoModel, config)


def _t5(transformers):
    backend = tokenizers.Tokenizer(models.Unigram())
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    special = ["<pad>", "</s>", "<unk>"]
    backend.train_from_iterator(
        TEXTS,
        trainers.UnigramTrainer(
            vocab_size=60, special_tokens=special, unk_token="<unk>", show_progress=False
        ),
    )
    backend.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    roles = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    config = transformers.T5Config(
        vocab_size=VOCABULARY,
        d_model=16,
        d_kv=8,
        d_ff=24,
        num_layers=2,
        num_heads=2,
        decoder_start_token_id=0,
    )
    return backend, roles, _drawn(transformers.AutoModelForSeq2SeqLM, config)


def _drawn(auto, config):
    torch.manual_seed(0)
    return auto.from_config(config)


_MODELS = {"gpt2": _gpt2, "llama": _llama, "bert": _bert, "t5": _t5}

# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A network of ``transformers`` from a folder: from disk alone, and nobody else's code."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from pyro_textvae.data.hugging_face import ModelFolder
from pyro_textvae.errors import UserError, in_one_line


def import_transformers(folder: ModelFolder) -> Any:
    """The package, which takes seconds to import.

    :raises UserError: where it is not installed.
    """
    try:
        import transformers
    except ImportError as error:
        raise UserError(
            f"{folder} needs transformers, which is not installed ({error}): "
            "pip install 'pyro-textvae[hf]'"
        ) from None
    return transformers


def load_causal(folder: ModelFolder) -> nn.Module:
    """The causal language model of a folder, in float32 and in evaluation mode.

    :raises UserError: when the folder holds no causal language model, or lacks weights of it.
    """
    transformers, config = _read_config(folder)
    if config.is_encoder_decoder or type(config) not in transformers.MODEL_FOR_CAUSAL_LM_MAPPING:
        raise _other_architecture(folder, config, "causal language model", "decoder")
    network, missing = _load(folder, transformers.AutoModelForCausalLM)
    if missing:
        raise _other_architecture(folder, config, "causal language model", "decoder", missing)
    return network


def load_encoder(folder: ModelFolder) -> nn.Module:
    """The encoder of a folder, in float32 and in evaluation mode: of BERT all, of T5 one half.

    :raises UserError: when the folder holds no reader of text, or lacks weights of it.
    """
    transformers, config = _read_config(folder)
    if type(config) in transformers.MODEL_FOR_TEXT_ENCODING_MAPPING:
        auto = transformers.AutoModelForTextEncoding
    elif type(config) in transformers.MODEL_MAPPING:
        auto = transformers.AutoModel
    else:
        raise _other_architecture(folder, config, "encoder of text", "encoder")
    network, missing = _load(folder, auto)
    if getattr(network, "pooler", None) is not None:
        # It is for a task that a VAE has not, and often has no weights.
        network.pooler = None
        missing = [name for name in missing if not name.startswith("pooler.")]
    if missing:
        raise _other_architecture(folder, config, "encoder of text", "encoder", missing)
    if config.is_encoder_decoder and hasattr(network, "get_decoder"):
        network = network.get_encoder()
    return network


@contextmanager
def quietly() -> Iterator[None]:
    """Without the progress bars, hints and warnings of ``transformers`` and ``peft``."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _read_config(folder: ModelFolder) -> tuple[Any, Any]:
    """The package and its object of the folder's config.json."""
    folder.check()
    transformers = import_transformers(folder)
    try:
        with quietly():
            config = transformers.AutoConfig.from_pretrained(
                str(folder.path), local_files_only=True, trust_remote_code=False
            )
    except Exception as error:
        raise UserError(
            f"{folder} is a {folder.config['model_type']!r}, which transformers "
            f"{transformers.__version__} cannot build: {in_one_line(error)}"
        ) from error
    return transformers, config


def _load(folder: ModelFolder, auto: Any) -> tuple[Any, list[str]]:
    """The network, and the names of the weights that the folder has not."""
    _ = folder.weight_files
    try:
        with quietly(), torch.random.fork_rng(devices=[]):
            network, info = auto.from_pretrained(
                str(folder.path),
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=torch.float32,
                output_loading_info=True,
            )
    except Exception as error:
        raise UserError(f"{folder} cannot be loaded: {in_one_line(error)}") from error
    lacking = {*info["missing_keys"], *(str(each[0]) for each in info["mismatched_keys"])}
    return network.eval(), sorted(lacking)


def _other_architecture(
    folder: ModelFolder, config: Any, wanted: str, setting: str, missing: list[str] | None = None
) -> UserError:
    named = ", ".join(getattr(config, "architectures", None) or [config.model_type])
    reason = f": it lacks {missing[0]}" if missing else ""
    return UserError(
        f"{folder} is {named}, which is no {wanted}{reason}: give --{setting} another model"
    )

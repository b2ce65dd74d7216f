# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Labels of text, by Bayes' rule from the model and by the guide."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pyro_textvae.config.evaluate import EvaluationConfig
from pyro_textvae.data import Corpus, Tokenizer
from pyro_textvae.displayed import Displayed
from pyro_textvae.errors import UserError, in_one_line
from pyro_textvae.evaluation import log_likelihood
from pyro_textvae.evaluation.label_probabilities import LabelProbabilities
from pyro_textvae.run_folder import RunFolder
from pyro_textvae.runs.evaluate import build_proposal, corpus_to_score
from pyro_textvae.runs.load import load_pair, load_tokenizer, read_run
from pyro_textvae.runs.untrained_classifier import classifier_left_untrained


@dataclass(frozen=True, repr=False)
class Classified(Displayed):
    """The sentences of a split or a file, in its order, and what is said of their labels.

    Warning:
        Why what the guide says is worth nothing; None where there is no such reason.

    """

    corpus: Corpus
    split: str
    tokenizer: Tokenizer
    probabilities: LabelProbabilities
    warning: str | None = None


def classify(
    path: str | Path | RunFolder, config: EvaluationConfig, *, trust_code: bool = False
) -> Classified:
    """The labels of the sentences of a run's split, or of other text.

    :param config: which text, and how many draws of the latents for each sentence and label.
    :param trust_code: execute what the run names from outside the catalogue, see :func:`load_run`.
    :raises UserError: for a run without labels, one whose model has no label, and text that it
        cannot score.
    """
    run = read_run(path, trust_code=trust_code)
    names = tuple(run.label_names or ())
    if not names:
        raise UserError(
            f"{run.folder.path} was trained on text without labels, so it can tell none: train a "
            "model of labels on text that has them, such as --model labelled_vae"
        )
    tokenizer = load_tokenizer(run)
    pair = load_pair(run, device=config.device)
    corpus = corpus_to_score(run, config, tokenizer)
    try:
        likelihood = log_likelihood(
            pair.model,
            pair.guide,
            corpus.batches(config.split, config.batch_size, shuffle=False),
            config.num_samples,
            config.seed,
            proposal=build_proposal(config),
            max_tokens=config.max_tokens,
            progress=True,
        )
    except ValueError as error:
        raise UserError(f"{path} cannot be scored: {in_one_line(error)}") from error
    probabilities = LabelProbabilities.of(likelihood, names)
    if probabilities is None:
        raise UserError(
            f"the model of {run.folder.path} has no site of a label with its {len(names)} values, "
            "so it can tell none: take a model that has one, such as labelled_vae"
        )
    has_guide = probabilities.by_guide is not None
    warning = classifier_left_untrained(run, pair.guide) if has_guide else None
    return Classified(corpus, config.split, tokenizer, probabilities, warning)

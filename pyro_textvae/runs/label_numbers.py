# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The numbers of an evaluation that are of labels, or of what else was summed out."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from pyro_textvae.evaluation import LogLikelihood


def label_numbers(likelihood: LogLikelihood) -> dict[str, Any]:
    """Plain values for ``evaluation.json``; nothing where nothing was summed out.

    ``nll_joint`` and ``elbo_joint`` are of text and label, where one is given; ``label_nll`` of the
    label given the text, by Bayes' rule from the model, ``label_nll_by_guide`` by q(y | x), both in
    nats a label.
    """
    summed_out = likelihood.summed_out
    if summed_out is None:
        return {}
    values: dict[str, Any] = {
        "summed_out": {"names": list(summed_out.names), "num_values": summed_out.num_values}
    }
    if not summed_out.num_labelled or likelihood.beside_text:
        return values
    return values | {
        "num_labelled": summed_out.num_labelled,
        "nll_joint": likelihood.nll_joint,
        "nll_joint_standard_error": likelihood.nll_joint_standard_error,
        "elbo_joint": -likelihood.elbo_joint.mean().item(),
        "label_nll": likelihood.label_nll,
        "label_nll_standard_error": likelihood.label_nll_standard_error,
        "label_nll_by_guide": likelihood.label_nll_by_guide,
    }


def label_columns(likelihood: LogLikelihood) -> dict[str, Tensor]:
    """What is written down of every sentence, by name; nothing where no label is given."""
    summed_out = likelihood.summed_out
    if summed_out is None or not summed_out.num_labelled or likelihood.beside_text:
        return {}
    columns = {
        "log_joint": summed_out.log_given,
        "log_joint_standard_error": summed_out.log_given_error,
        "label_log_prob": summed_out.label_log_prob,
        "label_log_prob_standard_error": summed_out.label_error,
    }
    by_guide = summed_out.label_log_prob_by_guide
    return columns if by_guide is None else columns | {"label_log_prob_by_guide": by_guide}

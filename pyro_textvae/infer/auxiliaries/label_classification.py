# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The labels that are given, under the guide's posterior of a label."""

from __future__ import annotations

from torch import Tensor

from pyro_textvae.contract import LABELS
from pyro_textvae.errors import UserError
from pyro_textvae.infer.auxiliary import AuxiliaryLoss, TrainingPass


class LabelClassification(AuxiliaryLoss):
    r"""Minus log q(y | x) of the label of each sentence that has one: the guide as a classifier.

    .. math:: -\alpha \log q(y \mid x)

    In the bound of a labelled sentence the guide's posterior of its label does not occur, so it
    would learn from unlabelled sentences alone. With the weight 1 each label that is given counts
    once, in nats, as its sentence does in the bound. That of Kingma et al. (2014) is 0.1 N, with
    the mean over the labelled sentences in the place of the sum: for each of L labelled sentences
    among N, :math:`\alpha = 0.1 N / L`, such as 2 where 5 % have a label. With the weight 0 nothing
    but the bound is trained. Nats for each sentence; 0 for one without a label.

    Source: Kingma et al. (2014), Semi-supervised Learning with Deep Generative Models, equation 9,
    https://arxiv.org/abs/1406.5298.

    >>> LabelClassification(weight=2.0).weight
    2.0

    :param weight: see :class:`AuxiliaryLoss`.
    :param site: where the guide has its posterior of a label.
    """

    needs_gradient_through_draws = False

    def __init__(self, weight: float = 1.0, *, site: str = "y_unobserved") -> None:
        super().__init__(weight)
        self.site = site

    def forward(self, training_pass: TrainingPass) -> Tensor:
        """The loss of each sentence, ``(N,)`` nats.

        :raises UserError: for a batch without labels, and for a guide without the site.
        """
        labels = training_pass.field(LABELS)
        sites = {site.name: site for site in training_pass.terms.passes[0]}
        if self.site not in sites:
            raise UserError(
                f"{self.name} is of the guide's posterior of a label, at the site {self.site!r}, "
                f"and the guide has {', '.join(sites) or 'none'}: take a guide that has it, such "
                "as labelled, or leave the loss out"
            )
        log_prob = sites[self.site].posterior.log_prob(labels.clamp(min=0))
        # The posterior of a label is the same for all draws of other latents.
        log_prob = log_prob.reshape(-1, len(labels))[0]
        return -log_prob.where(labels >= 0, 0.0)

# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Fit the posteriors of the sentences that the model is not trained on, before it is validated."""

from __future__ import annotations

from pyro_textvae.errors import UserError
from pyro_textvae.infer import SentenceAutoGuide
from pyro_textvae.training.procedure import Procedure, Training, find_latents


class SentencePosteriors(Procedure):
    """A guide with a posterior for each sentence has them fitted for every split, the model fixed.

    Before each validation the guide alone is stepped on the sentences of the validation and test
    splits, on the objective of the epoch. The model sees the training split alone.

    :param posterior_epochs: passes over those splits before each validation.
    :raises ValueError: when it is below 1.
    """

    fits_other_splits = True

    def __init__(self, posterior_epochs: int = 5) -> None:
        if posterior_epochs < 1:
            raise ValueError(f"posterior_epochs must be at least 1, got {posterior_epochs}")
        self.posterior_epochs = posterior_epochs

    def check(self, trainer: Training) -> None:
        """Refuse a guide that reads its sentences."""
        find_latents(trainer, self)
        if not any(isinstance(part, SentenceAutoGuide) for part in trainer.guide.modules()):
            raise UserError(
                f"{self.name} fits the posteriors of a SentenceAutoGuide, and "
                f"{type(trainer.guide).__name__} reads the sentences: leave the procedure out"
            )

    def before_validation(self, trainer: Training) -> None:
        """Step the guide on the other splits."""
        parameters = [p for p in trainer.guide.parameters() if p.requires_grad]
        config, epoch = trainer.config, trainer.progress.epoch
        for number in range(self.posterior_epochs):
            for split in ("valid", "test"):
                for batch in trainer.corpus.batches(
                    split,
                    **config.batch_limits,
                    seed=config.seed,
                    epoch=epoch * self.posterior_epochs + number,
                ):
                    trainer.update(batch, parameters)
        trainer.check_updates()

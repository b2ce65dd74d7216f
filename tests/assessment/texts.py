# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Texts for metrics as a run would give them, without a run."""

from types import SimpleNamespace

from pyro_textvae.assessment.bootstrap import Bootstrap
from pyro_textvae.assessment.sentences import Sentences
from pyro_textvae.config.assess import AssessmentConfig


def sentences(*texts, **made):
    words = tuple(tuple(text.split()) for text in texts)
    return Sentences(words, tuple((4,) * len(each) for each in words), made)


def material(samples=(), real=(), *, sources=None, world=None, label_names=(), batch=None, **texts):
    """What a metric looks at, of these texts; others by name, each a :class:`Sentences`."""
    config = AssessmentConfig(num_resamples=200)
    given = {} if sources is None else {"sources": sentences(*sources)}
    return SimpleNamespace(
        config=config,
        bootstrap=Bootstrap(config.num_resamples, config.seed),
        samples=sentences(*samples),
        real=sentences(*real),
        corpus=SimpleNamespace(
            world=world, label_names=label_names, fields=("tokens", "source")[: 1 + len(given)]
        ),
        takes_source=sources is not None,
        size=len(real),
        batch=batch or {},
        given=lambda place: {} if sources is None else {"source": sources[place]},
        used={},
        remarks=[],
        examples=[],
        **given,
        **texts,
    )


def values(metric, material):
    """The values of a metric by name."""
    return {number.name: number.value for number in metric.measure(material)}


def by_name(metric, material):
    """The numbers of a metric by name."""
    return {number.name: number for number in metric.measure(material)}

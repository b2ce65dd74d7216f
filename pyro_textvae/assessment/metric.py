# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What a metric is: numbers about generated text."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from pyro_textvae import zoo
from pyro_textvae.assessment.material import Material
from pyro_textvae.assessment.number import Number


class Metric(ABC):
    """Numbers about the text of a run.

    A metric in a file of its own in ``pyro_textvae/assessment/metrics`` is found by that file's
    name; one of the user's own is named as ``file.py:Class``.

    >>> class ShareOfQuestions(Metric):
    ...     title = "questions"
    ...
    ...     def measure(self, material):
    ...         asks = [words[-1:] == ("?",) for words in material.samples.words]
    ...         value, interval = material.bootstrap.mean(asks)
    ...         return [
    ...             Number("questions", "questions", value, interval, len(asks), "samples")
    ...         ]
    >>> ShareOfQuestions().fewest
    2
    """

    title: ClassVar[str]
    """Under which heading its numbers stand; metrics may share one."""

    fewest: ClassVar[int] = 2
    """Sentences that it needs at least."""

    packages: ClassVar[Sequence[str]] = ()
    """Packages of the extra ``[eval]`` that it needs."""

    worlds: ClassVar[Sequence[str]] = ()
    """On which worlds it is asked for by itself; on other text, where it is named. Empty: on all
    text."""

    def why_not(self, material: Material) -> str | None:
        """Why it says nothing of this run, in one line; None where it does."""
        return None

    @abstractmethod
    def measure(self, material: Material) -> list[Number]:
        """Its numbers.

        :param material: the texts, made when they are asked for.
        """


def build_metric(spec: str) -> Metric:
    """The metric of a name of the catalogue, or of ``file.py:Class``.

    :raises UserError: when there is no such metric.
    """
    metric: Metric = zoo.build(zoo.load("metrics", spec), {})
    return metric

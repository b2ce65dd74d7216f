# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The settings of an estimator, by scikit-learn's conventions."""

from __future__ import annotations

import difflib
import inspect
from dataclasses import MISSING, fields
from typing import Any, Self

from pyro_textvae.config.train import TrainConfig

OF_FIT = ("data", "text_column", "source_column", "label_column")
"""Settings of ``train`` that ``fit`` takes from the texts that it is given."""


def defaults() -> dict[str, Any]:
    """The settings and their defaults, in the order of ``--help``."""
    return {
        each.name: each.default if each.default_factory is MISSING else each.default_factory()
        for each in fields(TrainConfig)
        if each.name not in OF_FIT
    }


class Parameters:
    """Holds the settings of ``train`` by name, as they were given.

    :raises TypeError: for a setting that there is not.
    """

    # So that completion, help and scikit-learn see the settings, from the one place that has them.
    __signature__ = inspect.Signature(
        [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default)
            for name, default in defaults().items()
        ]
    )

    def __init__(self, **settings: Any) -> None:
        self._settings: dict[str, Any] = {}
        self.set_params(**settings)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Every setting by its name.

        :param deep: not used; scikit-learn gives it.
        """
        return {**defaults(), **self._settings}

    def set_params(self, **settings: Any) -> Self:
        """Change settings, for the next :meth:`fit`.

        :raises TypeError: for a setting that there is not.
        """
        known = defaults()
        for name in settings:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"; did you mean {near[0]}?" if near else ""
                why = ", which fit takes from its texts" if name in OF_FIT else ""
                raise TypeError(f"{type(self).__name__} has no setting {name!r}{why}{hint}")
        self._settings |= settings
        return self

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, Tags, TargetTags, TransformerTags

        return Tags(
            estimator_type="transformer",
            target_tags=TargetTags(required=False),
            transformer_tags=TransformerTags(),
            input_tags=InputTags(string=True, two_d_array=False),
        )

    def _shown(self) -> dict[str, Any]:
        """The settings that are not their defaults, in words."""
        known = defaults()
        given = [n for n in known if n in self._settings and self._settings[n] is not known[n]]
        return {n: _in_words(self._settings[n]) for n in given if self._settings[n] != known[n]}

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={text}" for name, text in self._shown().items())
        return f"{type(self).__name__}({settings})"


def _in_words(value: Any) -> str:
    """A setting as it is written; of a class or a program, its name."""
    if inspect.isclass(value) or inspect.isroutine(value):
        return value.__name__
    text = repr(value)
    return text if "\n" not in text and len(text) < 200 else f"<{type(value).__name__}>"

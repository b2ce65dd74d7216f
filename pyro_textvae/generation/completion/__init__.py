# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Sentences completed: p(what is missing | what is given)."""

from pyro_textvae.generation.completion.beginnings import Continuations, continue_documents
from pyro_textvae.generation.completion.complete import complete
from pyro_textvae.generation.completion.completions import Completions
from pyro_textvae.generation.completion.poems import continue_poem
from pyro_textvae.generation.completion.template import Hole, Template
from pyro_textvae.generation.completion.template_of_text import template_of_text

__all__ = [
    "Completions",
    "Continuations",
    "Hole",
    "Template",
    "complete",
    "continue_documents",
    "continue_poem",
    "template_of_text",
]

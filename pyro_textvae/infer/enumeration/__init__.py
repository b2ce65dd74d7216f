# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
r"""Sums over the values of discrete sites, in the place of draws.

A site marked ``infer={"enumerate": "parallel"}`` is run under Pyro's own enumeration: it gets all
its values at once, along a dimension to the left of plates and particles, ``(C, 1)`` in the plate
``"data"`` alone and ``(C, 1, 1)`` beside K particles. What depends on it has a row for each value;
what does not, such as a decoder of z alone, runs once.

Objectives do this by themselves::

    terms = PerDatumELBO(num_particles=K).terms(model, guide, **batch)
    terms.log_weights         # (K, N): log sum_y p(x, y, z_y) / q(z_y | x, y)
    (sums,) = terms.enumerated  # an Enumeration; empty where the guide enumerates nothing
    sums.log_weights_of("y")  # (C, K, N): the terms of that sum for each value of y
    sums.log_guide_of("y")    # (C, K, N): log q(y | x), or given z where y comes after it
    sums.values["y"]          # (C,): the values

The mean over K of exp of ``log_weights`` is an unbiased estimate of p(x), and that of
``log_weights_of("y")`` one of p(x, y), with no q(y | x) in either. A site that the model alone has,
and marks, is summed out in all terms.

A model alone, with its other latents given from wherever: :func:`enumerated_joint`.
"""

from pyro_textvae.infer.enumeration.enumeration import Enumeration
from pyro_textvae.infer.enumeration.joint import enumerated_joint
from pyro_textvae.infer.enumeration.sum_over import MAX_COMBINATIONS, SumOver

__all__ = ["MAX_COMBINATIONS", "Enumeration", "SumOver", "enumerated_joint"]

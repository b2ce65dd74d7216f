# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A model's sites with some of them integrated out, one after another."""

from __future__ import annotations

from collections.abc import Mapping

from pyro_textvae.infer.enumeration.factor import Factor, PlateDim, summed_out


def integrated(
    terms: Mapping[str, Factor],
    summed: Mapping[str, frozenset[PlateDim]],
    kept: Mapping[str, frozenset[PlateDim]],
) -> tuple[dict[str, list[Factor]], list[Factor], frozenset[str]]:
    r"""Densities of sites given those before them, with the sites ``summed`` integrated out.

    .. math::
        \log p(s_i \mid s_{<i}) = \log \sum_m p(m, s_{\le i}) - \log \sum_m p(m, s_{<i})

    So a component m of a mixture, of which z alone depends, makes the density of the mixture out of
    that of z.

    :param terms: log p of every site given its parents, in the model's order.
    :param summed: the plates of each site that is integrated out.
    :param kept: those of each other enumerated site.
    :returns: of every other site the parts of its log-density; parts of that of all of them
        together; and the names of those that depend on what is integrated out.
    """
    conditional: dict[str, list[Factor]] = {}
    coupled: list[Factor] = []
    apart: list[Factor] = []
    before: list[Factor] = []
    names = []
    for name, factor in terms.items():
        if not any(site in summed for site in factor.variables):
            conditional[name] = [factor]
            # A site with one value has no dimension for it, and a probability of 1.
            if name not in summed:
                apart.append(factor)
            continue
        coupled.append(factor)
        if name not in summed:
            after = summed_out(coupled, summed, kept)
            conditional[name] = [*after, *(part.scaled(-1.0) for part in before)]
            before = after
            names.append(name)
    return conditional, [*apart, *before], frozenset(names)

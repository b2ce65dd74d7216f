# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Weights of sites on the command line: a mistake is one line, and nothing is written."""

import pytest

from pyro_textvae import load_run
from pyro_textvae.run_folder import RunFolder


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--objective", "iwae", "--kl-schedule", "constant"],
            r"iwae has no weights of single sites, .*: use one of beta_elbo, semi_amortised_elbo",
        ),
        (
            ["--objective", "pyro.infer:Trace_ELBO"],
            r"pyro\.infer:Trace_ELBO has no weights of single sites",
        ),
        (["--site-weights", '{"zed": 0.5}'], r"names 'zed', .* sites are z, x; did you mean 'z'"),
        (["--site-weights", '{"z": -1}'], r"site_weights\.z must be at least 0, got -1"),
        (["--site-weights", "{1: 0.5}"], r"site_weights must be str, got 1"),
        (["--site-weights.z", "low"], r"site_weights\.z must be float, got 'low'"),
        (["--options", '{"site_weights": {"z": 1}}'], r"give --site-weights instead of an option"),
        (
            ["--constraint", "free_bits", "--options", '{"nats": 2}'],
            r"weighs the KL of 'z', in whose place FreeBits puts something else: leave one",
        ),
    ],
)
def test_weights_that_mean_nothing(check_refused, train, flags, message):
    given = [] if "site" in " ".join(flags) else ["--site-weights", '{"z": 0.5}']
    check_refused(message, *train, *given, *flags)


def test_a_run_keeps_its_weights(succeeds, train, new):
    succeeds(*train, "--site-weights", '{"z": 0.5, "x": 2}')
    assert RunFolder(new).read_config()["settings"]["site_weights"] == {"z": 0.5, "x": 2}
    load_run(new)

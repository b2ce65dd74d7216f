# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""``sample`` from the prior and from a mixture fitted after training."""

import re

from pyro_textvae.runs.load import load_run


def test_from_the_aggregate_posterior(cli, run):
    arguments = ["sample", run, "--size", "6", "--num-components", "2"]
    status, out, err = cli(*arguments, "--from", "aggregate")
    assert status == 0
    assert len(out.splitlines()) == 6
    said = r"2 Gaussians fitted to 32 latents; 8 held-out latents: .* nats per sentence\n"
    assert re.fullmatch(said, err)
    assert cli(*arguments, "--from=aggregate") == (0, out, err)
    assert cli(*arguments, "--latents-from", "aggregate") == (0, out, err)
    assert cli(*arguments, "--from", "prior")[1:] == (cli(*arguments)[1], "")


def test_wrong_settings(check_refused, run, language_model_run):
    check_refused("--latents-from must be one of", "sample", run, "--from", "posterior")
    check_refused("num_components must be at least 1", "sample", run, "--num-components", "0")
    few = ["--from", "aggregate", "--num-components", "33"]
    check_refused("33 components cannot be fitted to 32 sentences", "sample", run, *few)
    check_refused("latents here are none", "sample", language_model_run, "--from", "aggregate")


def test_run_with_a_vamp_prior(succeeds, train, new):
    """Trained, resumed bit for bit, evaluated, and read back with the prior tied to the guide."""
    options = ["--prior", "vamp_prior", "--options", '{"num_components": 3, "pseudo_length": 2}']
    succeeds(*train, *options, "--epochs", "2")
    whole = (new / "metrics.jsonl").read_bytes()
    succeeds(*train, *options, "--epochs", "1", "--overwrite")
    succeeds("train", "--resume", new, "--epochs", "2")
    assert (new / "metrics.jsonl").read_bytes() == whole
    assert "nats per sentence" in succeeds("evaluate", new, "--num-samples", "2")
    model, guide, _ = load_run(new)
    assert model.prior._guide is guide
    assert len(succeeds("sample", new, "--size", "3").splitlines()) == 3


def test_guide_that_no_vamp_prior_can_be_tied_to(check_refused, train):
    check_refused(
        "EmptyGuide has no 'encoder'", *train, "--prior", "vamp_prior", "--guide", "empty"
    )

# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""``refit``: the new run is the old one but for its prior, and what is said of it is so."""

import json
import re

import pytest
import torch
from safetensors.torch import load_file, save_file

from pyro_textvae.errors import UserError
from pyro_textvae.guides import VonMisesFisherGuide
from pyro_textvae.infer import BetaELBO
from pyro_textvae.models import SentenceVAE
from pyro_textvae.priors import GaussianMixture
from pyro_textvae.runs.load import load_run, load_run_corpus
from pyro_textvae.runs.refit import refit
from pyro_textvae.runs.refit.new_prior import check_support
from pyro_textvae.training.fit_prior_to_likelihood import fit_mixture_to_likelihood

FEW = ["--num-sentences", "8", "--num-samples", "20"]


def test_another_prior(succeeds, check_refused, run, new, tmp_path):
    out = succeeds("refit", run, "--out", new, "--options.num_components", "2", *FEW)
    assert re.search(r"bound +[+-]\d+\.\d{3} \+- \d+\.\d{3} nats per sentence, 8 sentences", out)
    old_model, old_guide, _ = load_run(run)
    model, guide, _ = load_run(new)
    assert type(model.prior).__name__ == "GaussianMixture"
    for one, other in ((old_model.decoder, model.decoder), (old_guide, guide)):
        for name, value in one.state_dict().items():
            assert torch.equal(value, other.state_dict()[name])
    config = json.loads((new / "config.json").read_text())
    assert config["refit"]["of"] == str(run)
    assert (config["settings"]["prior"], config["made_by"]) == ("gaussian_mixture", "refit")
    assert len(succeeds("sample", new, "--size", "3").splitlines()) == 3
    succeeds("evaluate", new, "--num-samples", "10", "--proposal", "guide")
    text, archive, back = (tmp_path / name for name in ("a.txt", "a.txt.tvae", "b.txt"))
    text.write_text("the dog ran in the sun\nThe cat sat\n")
    succeeds("compress", new, text)
    succeeds("decompress", new, archive, "--out", back)
    assert back.read_bytes() == text.read_bytes()
    check_refused("compressed by the weights", "decompress", run, archive, "--out", tmp_path / "x")
    check_refused("was saved by refit", "train", "--resume", new)
    check_refused("--overwrite", "refit", run, "--out", new, *FEW)


@pytest.mark.parametrize(
    ("prior", "options"),
    [
        ("vamp_prior", {"num_components": 3, "pseudo_length": 2}),
        ("flow_prior", {"flow": "affine_coupling", "num_flow_layers": 1}),
    ],
)
def test_other_priors(run, new, prior, options):
    result = refit(run, new, prior=prior, options=options, num_sentences=8, num_samples=20)
    model, guide, _ = load_run(new)
    if prior == "vamp_prior":
        assert model.prior._guide is guide
    assert result.fitted.log_density >= result.before_fit - 5


def test_gain_is_that_of_the_bound(run_copy, new):
    """The elbos of both runs on the test split by draws of our own; |z| < 4.5."""
    run, weights = run_copy, load_file(run_copy / "model.safetensors")
    # Posteriors away from the prior, so that there is something to gain.
    weights["guide.loc.bias"] += 1.5
    save_file(weights, run / "model.safetensors")
    result = refit(run, new, options={"num_components": 1}, num_sentences=4, num_samples=20)
    # Of all sentences of the split, where log p(x) is of four.
    assert (result.bound_sentences, len(result.before.log_px)) == (8, 4)
    assert result.information_after.num_sentences == 8
    batch = next(iter(load_run_corpus(run).batches("test", 8, shuffle=False)))
    bounds = []
    for folder in (run, new):
        model, guide, _ = load_run(folder)
        torch.manual_seed(0)
        with torch.no_grad():
            terms = BetaELBO(num_particles=4000).terms(model, guide, batch["tokens"])
        bounds.append(terms.log_likelihood - sum(terms.log_ratio.values()))
    gain = bounds[1] - bounds[0]
    # Draws of ours by sentence, and 50 of theirs.
    error = (gain.var(0).mean() / 8 * (1 / 50 + 1 / 4000)).sqrt()
    assert abs(result.bound_gain - gain.mean().item()) < 4.5 * error
    assert gain.mean() > 1.0
    # It is the fall of the mismatch, by draws of its own, and what z knows stays where it was.
    before, after = result.information_before, result.information_after
    fall = before.aggregate_kl - after.aggregate_kl
    errors = [each.aggregate_kl_standard_error for each in (before, after)]
    assert abs(result.bound_gain - fall) < 4.5 * (error + sum(errors))
    assert before.mutual_information == pytest.approx(after.mutual_information, abs=1e-3)


def test_guides_number_has_auto_of_the_same_sentences(run, new, monkeypatch):
    monkeypatch.setattr("pyro_textvae.evaluation.by_guide.NUM_SENTENCES", 3)
    result = refit(run, new, options={"num_components": 1}, num_sentences=8, num_samples=20)
    places = torch.randperm(8, generator=torch.Generator().manual_seed(0))[:3]
    assert result.guide_sentences == 3
    assert result.auto_before == pytest.approx(-result.before.log_px[places].mean().item())
    assert result.auto_after == pytest.approx(-result.after.log_px[places].mean().item())
    # Estimates of one number, as the guide of this run is near enough.
    assert result.guide_before == pytest.approx(result.auto_before, abs=0.1)


def test_likelihood_and_alternation(succeeds, run, new):
    """Decoder fixed, guide trained on, prior fitted by EM that climbs in each round."""
    options = ["--options.num_components", "1", "--num-train-sentences", "6", *FEW]
    out = succeeds(
        *("refit", run, "--out", new, "--target", "likelihood", "--alternate", "1"), *options
    )
    for line in (
        r"held-out log p\(x\) +-\d+\.\d{3} under it, -\d+\.\d{3} under the prior before",
        r"EM +log p\(x\) of train (-\d+\.\d{3} -> -\d+\.\d{3}(, )?){4}; effective draws of 64",
        r"nll, train +(no difference|the new prior is better)",
        r"guide +trained on, bound of valid -\d+\.\d{3} -> -\d+\.\d{3}",
        r"  mismatch +-?\d+\.\d{3} -> -?\d+\.\d{3}, .*: KL is not information",
        r"    at least +-?\d+\.\d{3} -> -?\d+\.\d{3}, each draw's own sentence left out",
        r"nll, by auto .* \(8 sentences\);",
        r"  by the guide +\d+\.\d{3} -> \d+\.\d{3} \(8 of them, by auto \d+\.\d{3} -> \d+\.\d{3}\)",
        r"what moved +(the bound|log p|nothing)",
    ):
        assert re.search(line, out), line
    for before, after in re.findall(r"(-\d+\.\d{3}) -> (-\d+\.\d{3})(?=[,;])", out):
        assert float(after) >= float(before)
    old_model, old_guide, _ = load_run(run)
    model, guide, _ = load_run(new)
    for name, value in old_model.decoder.state_dict().items():
        assert torch.equal(value, model.decoder.state_dict()[name])
    assert not torch.equal(old_guide.loc.bias, guide.loc.bias)
    config = json.loads((new / "config.json").read_text())
    assert (config["refit"]["target"], config["refit"]["alternate"]) == ("likelihood", 1)
    assert config["refit"]["chosen_by_held_out"] == []


def test_run_says_what_held_out_sentences_chose(run, new):
    refit(run, new, num_sentences=4, num_samples=10)
    config = json.loads((new / "config.json").read_text())
    assert config["refit"]["chosen_by_held_out"] == ["num_components"]
    assert config["settings"]["options"]["num_components"] >= 1


def test_likelihood_that_falls_is_not_written(monkeypatch, check_refused, run, new):
    """A prior far off, said to be fitted: the sentences themselves tell."""
    from pyro_textvae.runs.refit import prior_fit

    def wrong(draws, held_out, *arguments, **keywords):
        result = fit_mixture_to_likelihood(draws, held_out, *arguments, **keywords)
        with torch.no_grad():
            result.fitted.prior.loc += 9.0
        return result

    monkeypatch.setattr(prior_fit, "fit_mixture_to_likelihood", wrong)
    options = ["--options.num_components", "1", "--num-train-sentences", "6", *FEW]
    check_refused(
        "has fallen: the old prior is better",
        *("refit", run, "--out", new, "--target", "likelihood"),
        *options,
    )
    assert not new.exists()


def test_prior_of_another_support(pair, tokens):
    """A mixture of Gaussians gives the draws on a sphere no density."""
    model, guide = pair
    sphere = VonMisesFisherGuide(guide.encoder, 2).double()
    mixed = SentenceVAE(GaussianMixture(2, 3).double(), model.decoder)
    check_support(mixed, guide, {"tokens": tokens})
    with pytest.raises(UserError, match="does not fit the guide: latent site 'z' has support"):
        check_support(mixed, sphere, {"tokens": tokens})


def test_runs_whose_prior_cannot_be_changed(check_refused, run, language_model_run, new):
    out = ["--out", new, *FEW]
    check_refused("takes no prior by name", "refit", language_model_run, *out)
    check_refused("has nothing to be fitted", "refit", run, "--prior", "standard_normal", *out)
    check_refused("no option 'num_layers'", "refit", run, "--options.num_layers", "3", *out)
    check_refused("--out FOLDER", "refit", run)
    check_refused("give num_components alone", "refit", run, "--options.learned", "false", *out)
    check_refused("num_components must be", "refit", run, "--options.num_components", "0", *out)
    check_refused("alternate must be at least 0", "refit", run, "--alternate", "-1", *out)
    assert not new.exists()

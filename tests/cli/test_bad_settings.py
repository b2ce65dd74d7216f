# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Settings that are unknown, of the wrong type or out of range, as flags and in a file."""

import pytest
import torch


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], r"no command 'trian'; did you mean train\?"),
        (["zzz"], r"no command 'zzz' \(one of prepare, train, evaluate, .*report\)"),
        (["--overwrite"], r"no command '--overwrite' \(one of prepare, train"),
        (["train", "--hiden-dim", "4"], r"no setting --hiden-dim; did you mean --hidden-dim\?"),
        (["train", "--hiden_dim=4"], r"no setting --hiden-dim; did you mean --hidden-dim\?"),
        (["train", "--zzz", "4"], r"train has no setting --zzz \(see --help\)"),
        (["sample", "--sise", "3"], r"sample has no setting --sise; did you mean --size\?"),
        (["train", "stray"], r"unrecognized arguments: stray \(see pyro-textvae train --help\)"),
        (["train", "--config"], r"--config needs the name of a YAML file"),
        (["train", "--epochs"], r"--epochs: expected one argument \(see .*--help\)"),
    ],
)
def test_unknown_command_or_flag(check_refused, arguments, message):
    check_refused(message, *arguments)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--epochs -1", r"epochs must be at least 1, got -1"),
        ("--epochs 0", r"epochs must be at least 1, got 0"),
        ("--batch-size 0", r"batch_size must be at least 1, got 0"),
        ("--batch-tokens 0", r"batch_tokens must be at least 1, got 0"),
        ("--latent-dim -3", r"latent_dim must be at least 0, got -3"),
        ("--latent-dim 0", r"latent_dim must be at least 1, got 0"),
        ("--hidden-dim 0", r"hidden_dim must be at least 1, got 0"),
        ("--num-particles 0", r"num_particles must be at least 1, got 0"),
        ("--learning-rate 0", r"learning_rate must be positive, got 0"),
        ("--embedding-dropout 1.5", r"embedding_dropout must lie in \[0, 1\), got 1\.5"),
        ("--decay 0", r"decay must lie in \(0, 1\], got 0"),
        ("--kl-epochs 0", r"kl_epochs must be positive .*: use --kl-schedule constant"),
        ("--seed -1", r"seed must .*, got -1"),
        ("--seed 4294967296", r"seed must .*, got 4294967296"),
        ("--max-length 1", r"max_length=1 must be a whole number of at least 2"),
        ("--max-length 3", r"max_length=3 drops all 32 sentences .*; raise it or set truncate"),
        ("--truncate", r"truncate=True needs a max_length .*; set max_length"),
        (
            "--num-sentences 4",
            r"num_sentences=4 applies to grammar, stdlib and world:NAME, .*; leave it out",
        ),
        ("--epochs many", r"--epochs must be int, got 'many'"),
        ("--epochs 1.5", r"--epochs must be int, got '1\.5'"),
        ("--vocab-size many", r"--vocab-size must be int, got 'many'"),
        ("--learning-rate high", r"--learning-rate must be float, got 'high'"),
        ("--learning-rate nan", r"--learning-rate must be float, got 'nan'"),
        ("--truncate=maybe", r"--truncate must be bool, got 'maybe'"),
        (
            "--tokenizer words",
            r"no tokenizer 'words'; did you mean 'word'\? Known: .*nltk.*file\.py:Class",
        ),
        ("--optimizer adamm", r"--optimizer must be one of adam, adamw, sgd, got 'adamm'"),
        ("--options [1]", r"--options must be dict, got '\[1\]'"),
    ],
)
def test_bad_value_for_train(check_refused, train, flags, message):
    check_refused(message, *train, *flags.split())


@pytest.mark.parametrize(
    ("command", "flags", "message"),
    [
        ("report", "--nosuch 1", r"error: report has no setting --nosuch"),
        ("evaluate", "--num-samples 0", r"num_samples must be at least 1, got 0"),
        ("evaluate", "--num-samples x", r"--num-samples must be int, got 'x'"),
        ("evaluate", "--batch-size 0", r"batch_size must be at least 1, got 0"),
        ("evaluate", "--max-tokens 0", r"max_tokens must be at least 1, got 0"),
        ("evaluate", "--most-rounds 0", r"most_rounds must be at least 1, got 0"),
        ("evaluate", "--target-standard-error 0", r"target_standard_error must be positive, got 0"),
        ("evaluate", "--proposal refind", r"no proposal 'refind'; did you mean 'refined'\?"),
        (
            "evaluate",
            '--proposal refined --proposal-options {"setps":5}',
            r"the refined proposal has no option 'setps'; it takes: steps, step_draws",
        ),
        (
            "evaluate",
            '--proposal widened --proposal-options {"factor":-1}',
            r"cannot build WidenedProposal: factor must be positive and finite, got -1",
        ),
        (
            "evaluate",
            '--proposal refined --proposal-options {"steps":2.5}',
            r"cannot build RefinedProposal: steps must be a whole number of at least 1, got 2.5",
        ),
        ("evaluate", "--split nope", r"--split must be one of train, valid, test, got 'nope'"),
        ("evaluate", "--seed -1", r"seed must .*, got -1"),
        ("evaluate", "--label-column x", r"label_column is of other text, .*: give --data with it"),
        ("evaluate", "--out no/such.json", r"no folder no to write such\.json into: make it first"),
        ("evaluate", "--out .", r"--out \. is a folder: give the name of a file"),
        ("evaluate", "--out mine.txt", r"--out mine\.txt must end in \.json"),
        (
            "evaluate",
            "--proposal torch.nn:Identity",
            r"torch\.nn:Identity is no proposal: derive it",
        ),
        ("sample", "--size 0", r"size must be at least 1, got 0"),
        ("sample", "--seed -1", r"seed must .*, got -1"),
        ("sample", "--method gredy", r"no method 'gredy'; did you mean 'greedy'\?"),
        (
            "sample",
            '--method greedy --options {"k":5}',
            r"the greedy method has no option 'k'; it takes: none",
        ),
        ("sample", "--split test", r"conditioned on nothing .* split=test would do nothing"),
        ("reconstruct", "--size 0", r"size must be at least 1, got 0"),
        ("reconstruct", "--split nope", r"--split must be one of train, valid, test, got 'nope'"),
        ("reconstruct", "--seed -1", r"seed must .*, got -1"),
        ("interpolate", "--steps 1", r"steps must be at least 2, got 1"),
        ("interpolate", "--seed -1", r"seed must .*, got -1"),
    ],
)
def test_bad_value_for_a_run(check_refused, run, command, flags, message):
    check_refused(message, command, run, *flags.split())


@pytest.mark.parametrize("device", ["tpu9", "cuda:99", "meta"])
def test_device_that_does_not_exist(check_refused, train, run, device):
    message = rf"device '{device}' does not exist here: one of auto, cpu"
    check_refused(message, *train, "--device", device)
    check_refused(message, "sample", run, "--device", device)
    check_refused(message, "train", "--resume", run, "--epochs", "2", "--device", device)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("command", ["sample", "evaluate"])
def test_cuda_without_a_gpu(check_refused, run, command):
    check_refused(
        r"device 'cuda' does not exist here: one of auto, cpu", command, run, "--device=cuda"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "hiden_dim: 4\n",
            r"no setting 'hiden_dim', .*settings\.yaml.*did you mean --hidden-dim\?",
        ),
        ("1: 2\n", r"no setting 1, which \S*settings\.yaml"),
        ("- data\n- model\n", r"settings\.yaml is not a mapping of settings: write one"),
        ("hello\n", r"settings\.yaml is not a mapping of settings: write one"),
        ("", r"settings\.yaml is not a mapping of settings: write one"),
        ("epochs: 1\nmodel: [1\n b: {", r"settings\.yaml is not YAML \(line 3\): write one"),
        ("data: \0\n", r"settings\.yaml is not YAML: write one"),
        ("hidden_dim: many\n", r"--hidden-dim must be int, got 'many'"),
        ("hidden_dim:\n  width: 1\n", r"--hidden-dim must be int, got .*width"),
        ("hidden_dim: true\n", r"--hidden-dim must be int, got 'True'"),
        ("vocab_size: many\n", r"--vocab-size must be int, got 'many'"),
        ("kl_epochs: .inf\n", r"kl_epochs must be .*, got inf"),
        ("kl_weight: .inf\n", r"kl_weight must be .*, got inf"),
        ("kl_weight: .nan\n", r"kl_weight must be .*, got nan"),
        ("learning_rate: .inf\n", r"learning_rate must be .*, got inf"),
        (
            f"epochs: {'9' * 5000}\n",
            r"\(line 1\): the value cannot be read: '9{40}\.\.\. of 5000 characters'",
        ),
        (
            "data: toy\nseed: !!int 'x'\n",
            r"\(line 2\): the value cannot be read: 'x' is no value of its type",
        ),
        (
            "seed: !!timestamp x\n",
            r"\(line 1\): the value cannot be read: 'x' is no value of its type",
        ),
        ("options: {null: 1}\n", r"a key of options must be str, got None"),
        (f"options: {'[' * 300}\n", r"settings\.yaml is not YAML \(line 1\): write one"),
        ("options: &a {a: *a}\n", r"settings\.yaml is not YAML \(line 1\): write one"),
    ],
)
def test_bad_configuration_file(check_refused, train, tmp_path, text, message):
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    check_refused(message, *train, "--config", path)


def test_configuration_file_that_cannot_be_read(check_refused, train, tmp_path):
    advice = "give a YAML file of settings"
    check_refused(rf"--config nowhere\.yaml: .*; {advice}", *train, "--config", "nowhere.yaml")
    check_refused(rf"--config \S+: Is a directory; {advice}", *train, f"--config={tmp_path}")
    (tmp_path / "latin.yaml").write_bytes(b"data: na\xefve\n")
    check_refused(r"latin\.yaml is not UTF-8 text: write one", *train, "--config", "latin.yaml")


def test_configuration_of_another_command(check_refused, run):
    check_refused(
        r"sample has no setting 'data', which \S+config\.yaml gives",
        *("sample", run, "--config", run / "config.yaml"),
    )


def test_a_long_value_is_shortened(check_refused, cli, train):
    for flags in (
        ("--epochs", "9" * 5000),
        ("--options.x", "[" * 5000),
        ("--tokenizer", "x" * 5000),
    ):
        status, _, err = cli(*train, *flags)
        assert status == 2
        assert len(err) < 1300
        assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("kind", "name", "near"),
    [
        ("model", "sentence_vaee", "sentence_vae"),
        ("guide", "gausian", "gaussian"),
        ("prior", "standard_norml", "standard_normal"),
        ("decoder", "lstmm", "lstm"),
        ("encoder", "lstmm", "lstm"),
        ("objective", "beta_elb", "beta_elbo"),
        ("kl-schedule", "liner", "linear"),
    ],
)
def test_unknown_name(check_refused, train, kind, name, near):
    check_refused(
        rf"no {kind.replace('-', '_')} '{name}'; did you mean '{near}'\? Known: .*{near}",
        *train,
        f"--{kind}",
        name,
    )
    check_refused(
        rf"no {kind.replace('-', '_')} 'zzz'; known: .*{near}", *train, f"--{kind}", "zzz"
    )


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--model", "no.such:Model"], r"cannot import 'no\.such' .*No module named 'no'"),
        (["--model", "pyro.nn:Nope"], r"pyro\.nn defines no class 'Nope'"),
        (["--objective", "math:sqrt"], r"math defines no class 'sqrt'"),
        (
            ["--objective", "pyro.infer:RenyiELBO"],
            r"RenyiELBO has no differentiable_loss, .*: use one of .*pyro\.infer:Trace_ELBO",
        ),
        (
            ["--objective", "pyro.infer:JitTrace_ELBO"],
            r"compiles for parameters in Pyro's global store, .*: use pyro.infer:Trace_ELBO",
        ),
        (
            ["--objective", "pyro.infer:JitTraceMeanField_ELBO"],
            r"compiles for parameters in Pyro's global store",
        ),
        (
            ["--objective", "pyro.infer:Trace_ELBO", "--kl-weight", "0.5"],
            r"Trace_ELBO has no KL weight, .*: use --objective beta_elbo",
        ),
        (["--guide", "empty"], r"latent sites are z, the guide's none: .*another --guide"),
        (["--options", '{"zzz": 1}'], r"option 'zzz' is taken by no part"),
        (
            ["--options", '{"nun_layers": 1}'],
            r"option 'nun_layers' is taken by no part .*; did you mean 'num_layers'\?",
        ),
        (["--options", '{"num_layers": 0}'], r"num_layers must be at least 1, got 0"),
    ],
)
def test_part_that_does_not_fit(check_refused, train, flags, message):
    check_refused(message, *train, *flags)


def test_grid_in_several_processes(check_refused, tmp_path, monkeypatch):
    """Each of them would write into one folder."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    grid = tmp_path / "grid.yaml"
    grid.write_text("base: {data: grammar}\n")
    check_refused(
        "compare with a grid is not distributed, .*: start it without torchrun, with --jobs",
        *("compare", grid, "--jobs", "2"),
    )


def test_training_in_processes_that_nothing_started(check_refused, train, new, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    check_refused("WORLD_SIZE is 2 and RANK is not set: .*start the command with torchrun", *train)
    assert not new.exists()


@pytest.mark.parametrize("size", ["1", ""])
def test_training_in_one_process_of_torchrun(succeeds, train, monkeypatch, size):
    monkeypatch.setenv("WORLD_SIZE", size)
    succeeds(*train)

# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What the README shows runs as it stands."""

import inspect
import re
import shlex
from pathlib import Path

import pytest

from pyro_textvae import zoo
from pyro_textvae.cli.main import COMMANDS, main
from pyro_textvae.grid.definition import read_grid
from pyro_textvae.guides import GaussianGuide
from pyro_textvae.models import SentenceVAE
from pyro_textvae.priors import StandardNormal
from pyro_textvae.testing import check_guide, check_model

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
OBJECTIVES = (ROOT / "docs" / "objectives.md").read_text()
GENERATION = (ROOT / "docs" / "generation.md").read_text()
NETWORKS = (ROOT / "docs" / "decoders-and-encoders.md").read_text()
FROM_PYTHON = (ROOT / "docs" / "python.md").read_text()
PRIORS_AND_GUIDES = (ROOT / "docs" / "priors-and-guides.md").read_text()


def block(language, holding, page=README):
    (found,) = [
        text for text in re.findall(rf"```{language}\n(.*?)```", page, re.S) if holding in text
    ]
    return found


def test_reader_writes_a_model_and_the_command_line_trains_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    source = block("python", "# mine.py")
    assert len(source.splitlines()) < 30
    Path("mine.py").write_text(source)
    train, evaluate = [
        shlex.split(line, comments=True)[1:]
        for line in block("sh", "--model mine.py:LearnedPriorVAE").strip().splitlines()
    ]
    small = "--num-sentences 600 --embedding-dim 8 --hidden-dim 9 --latent-dim 3".split()
    assert main([*train, *small]) == 0
    assert main(evaluate) == 0
    assert "nll, K = 300" in capsys.readouterr().out


def test_plain_pyro_example_runs_and_is_saved_as_a_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(block("python", "SVI(", FROM_PYTHON), names)
    exec(block("python", "save_run(", FROM_PYTHON), names)
    printed = capsys.readouterr().out
    assert main(["sample", "runs/plain", "--size", "2"]) == 0
    nll, language = (float(number) for number in re.findall(r"(?:nll|itself:) ([\d.]+)", printed))
    assert language < nll < 3 * language


def test_model_shown_is_the_model_shipped():
    shown = block("python", "# models/sentence_vae.py")
    body = [line.strip() for line in shown.splitlines()[2:] if line.strip()]
    shipped = (ROOT / "models" / "sentence_vae.py").read_text()
    assert all(line in shipped for line in body)
    assert len(body) == 3


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_in_the_table_and_has_help(command, capsys):
    assert f"`pyro-textvae {command}" in README
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert f"pyro-textvae {command}" in capsys.readouterr().out


def test_every_shown_flag_exists(capsys):
    for command in COMMANDS:
        with pytest.raises(SystemExit):
            main([command, "--help"])
    main(["--help"])
    known = capsys.readouterr().out
    pages = README + "".join(
        (ROOT / "docs" / f"{page}.md").read_text()
        for page in ("choosing", "comparing-runs", "data", "numbers", "python")
    )
    own = re.sub(r"torchrun .* -m ", "", pages)  # its flags are not ours
    for flag in set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", own)) - {"--help"}:
        assert flag in known, flag


PAGES = {
    **dict.fromkeys(
        ("objectives", "constraints", "auxiliaries", "kl_schedules", "procedures"), OBJECTIVES
    ),
    **dict.fromkeys(("priors", "guides"), PRIORS_AND_GUIDES),
    **dict.fromkeys(("decoders", "encoders"), NETWORKS),
    "methods": GENERATION,
    "loggers": FROM_PYTHON,
    "metrics": GENERATION,
}


@pytest.mark.parametrize(("kind", "page"), PAGES.items(), ids=PAGES)
def test_every_member_has_its_row(kind, page):
    rows = re.findall(r"^\| `(\w+)`(?: \(default\))? \|", page, re.M)
    assert set(zoo.names(kind)) - {"empty"} <= set(rows)


def test_objective_of_a_readers_own_trains(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(block("python", "MedianBound", OBJECTIVES))
    (command,) = block("sh", "mine.py:MedianBound", OBJECTIVES).strip().splitlines()
    small = "--num-sentences 200 --embedding-dim 4 --hidden-dim 5 --latent-dim 3".split()
    assert main([*shlex.split(command)[1:], *small]) == 0
    assert "MedianBound" in capsys.readouterr().out


def test_auxiliary_loss_of_a_readers_own_trains(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(block("python", "AuxiliaryLoss", OBJECTIVES))
    small = "--num-sentences 60 --embedding-dim 4 --hidden-dim 5 --latent-dim 3 --epochs 1".split()
    auxiliaries = '{"length": {"weight": 0.1, "sites": ["z"]}, "mine.py:SizeOfTheLatent": 0.01}'
    arguments = ["--data", "grammar", "--out", "run", "--auxiliaries", auxiliaries]
    assert main(["train", *small, *arguments]) == 0
    assert "train_auxiliary_SizeOfTheLatent" in Path("run/metrics.jsonl").read_text()


def test_decoder_and_encoder_of_a_readers_own_train(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(block("python", "# mine.py", NETWORKS))
    train, sample = block("sh", "mine.py:", NETWORKS).strip().splitlines()
    small = "--num-sentences 200 --embedding-dim 4 --hidden-dim 5 --latent-dim 3".split()
    assert main([*shlex.split(train)[1:], *small]) == 0
    assert main(shlex.split(sample)[1:]) == 0
    assert len(capsys.readouterr().out.splitlines()) > 4
    written = {}
    exec(block("python", "# mine.py", NETWORKS), written)
    sizes = {"vocab_size": 9, "embedding_dim": 4, "hidden_dim": 5}
    decoder = written["BigramDecoder"](**sizes, latent_dim=3, max_length=7)
    model = SentenceVAE(prior=StandardNormal(3), decoder=decoder)
    check_model(model)
    check_guide(GaussianGuide(written["MaximumEncoder"](**sizes), latent_dim=3), model)


IN_EVERY_ROW = set(
    "vocab_size embedding_dim hidden_dim latent_dim max_length injection num_slots tied_embeddings "
    "embedding_dropout output_dropout word_dropout num_layers memory_dim copying".split()
)


@pytest.mark.parametrize("kind", ["decoders", "encoders"])
def test_options_shown_are_those_there_are(kind):
    (table,) = [part for part in NETWORKS.split("\n\n") if part.startswith(f"| `--{kind[:-1]}`")]
    for row in table.splitlines()[2:]:
        _, name, _, num_layers, options, *_ = re.split(r"(?<!\\)\|", row)
        member = zoo.load(kind, re.findall(r"`(\w+)`", name)[0])
        accepted = inspect.signature(member).parameters
        assert int(num_layers) == accepted["num_layers"].default
        assert set(re.findall(r"`(\w+)`", options)) == set(accepted) - IN_EVERY_ROW, name


def test_first_model_takes_six_lines(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PYRO_TEXTVAE_CACHE", str(tmp_path))
    source = block("python", "import TextVAE")
    assert block("python", "import TextVAE\n\nwords", FROM_PYTHON) == source
    assert len([line for line in source.splitlines() if line.strip()]) <= 6
    exec(source.replace("epochs=15", "epochs=1, embedding_dim=4, hidden_dim=5"), {})
    printed = capsys.readouterr().out
    assert "epoch   1" in printed
    assert "LogLikelihood\n  nll" in printed


ON_THE_INDEX = "https://github.com/OWNER/pyro-textvae/blob/main/"
"""Where links of the README lead, which an index page shows too."""


def test_links_lead_somewhere():
    """Of the README in full, so that they hold on an index page; of the others beside the file."""
    links = re.findall(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)", README)
    assert len(links) > 20
    assert all(link.startswith("https://") for link in links)
    ours = [link.removeprefix(ON_THE_INDEX) for link in links if link.startswith(ON_THE_INDEX)]
    # A picture is shown by any clone and fork, wherever it is.
    places = [(ROOT, link) for link in [*ours, *re.findall(r"!\[[^\]]*\]\(([^)\s]+)\)", README)]]
    for page in (*ROOT.glob("docs/*.md"), ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"):
        found = re.findall(r"\]\(([^)\s]+)\)", page.read_text())
        places += [(page.parent, link) for link in found if "://" not in link]
    for folder, link in places:
        name, _, anchor = link.partition("#")
        if not name:
            continue
        assert (folder / name).exists(), link
        if anchor:
            titles = re.findall(r"^#+ (.*)$", (folder / name).read_text(), re.M)
            slugs = [re.sub(r"[^\w -]", "", t.lower()).replace(" ", "-") for t in titles]
            assert anchor in slugs, link


def test_grid_shown_is_a_grid(tmp_path):
    path = tmp_path / "objectives.yaml"
    path.write_text(block("yaml", "# objectives.yaml"))
    assert len(read_grid(path).runs) == 6
    assert len(read_grid(ROOT / "benchmarks" / "snli_objectives.yaml").runs) == 14
    assert len(read_grid(ROOT / "benchmarks" / "snli_pairs.yaml").runs) == 33
    assert len(read_grid(ROOT / "benchmarks" / "snli_decoders.yaml").runs) == 25

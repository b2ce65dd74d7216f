# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""How the documentation site is built: ``make docs``."""

import os
import sys
from pathlib import Path

import pyro_textvae

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_extensions"))
# The kernels of the tutorials start in their own folder, and their figures are the site's.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")

project = "pyro-textvae"
author = "Contributors to the pyro-textvae project"
copyright = author
release = version = pyro_textvae.__version__

extensions = [
    "catalogue",
    "repository_links",
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx-mathjax-offline",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build", "_extensions", "programs", "**/.ipynb_checkpoints"]

html_theme = "furo"
html_title = f"pyro-textvae {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
templates_path: list[str] = []

myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 4
nb_execution_mode = "cache"
nb_execution_cache_path = str(HERE / "_build" / "jupyter_cache")
# Of a cell; a machine that other work shares takes minutes for what takes seconds.
nb_execution_timeout = 900
nb_execution_raise_on_error = True
nb_merge_streams = True
# Progress bars and warnings with paths of the machine that built the site.
nb_output_stderr = "remove"

napoleon_numpy_docstring = False
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_default_options = {"show-inheritance": True}
add_module_names = False
python_use_unqualified_type_names = True

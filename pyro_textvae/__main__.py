# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""``python -m pyro_textvae``: the command ``pyro-textvae``."""

import sys

from pyro_textvae.cli.main import main

if __name__ == "__main__":
    sys.exit(main())

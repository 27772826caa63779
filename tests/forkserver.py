"""Processes of the command that begin with torch already imported.

They are real processes with a pid, streams, and signals of their own. Only the 1.5 s of imports are
shared: a server imports once, and forks a child for each request.
"""

import contextlib
import io
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys


class ForkServer:
    """A process that has imported the command, and forks.

    Args:
        path: of the socket that it listens on; at most about 100 bytes long.
    """

    def __init__(self, path):
        self.path = str(path)
        ready, write = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, __file__, self.path, str(write)],
            pass_fds=[write],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,  # when it closes, the server ends
        )
        os.close(write)
        if os.read(ready, 1) != b"1":
            raise RuntimeError("the fork server did not start")
        os.close(ready)

    def start(self, words, **options):
        """Start the command with these words; ``options`` as ``subprocess.Popen`` takes them."""
        return _Forked([str(word) for word in words], self.path, **options)

    def close(self):
        """End the server; children live on."""
        self._process.stdin.close()
        self._process.wait()


class _Forked(subprocess.Popen):
    """``subprocess.Popen`` for a child of the server."""

    def __init__(self, words, path, **options):
        self._path = path
        super().__init__(words, **options)

    def _execute_child(self, args, executable, preexec_fn, close_fds, pass_fds, cwd, env,
                       startupinfo, creationflags, shell, *rest):  # fmt: skip
        pipes = rest[:6]
        streams = [pipes[0], pipes[3], pipes[5]]
        self._server = socket.socket(socket.AF_UNIX)
        self._server.connect(self._path)
        request = {"words": args, "cwd": str(cwd), "env": dict(env)}
        message = json.dumps(request).encode() + b"\n"
        # A stream that is not redirected is this process's own.
        own = [own if given == -1 else given for own, given in enumerate(streams)]
        socket.send_fds(self._server, [message[:1]], own)
        self._server.sendall(message[1:])
        self._answers = self._server.makefile("r")
        self.pid = int(self._answers.readline())
        self._child_created = True
        self._close_pipe_fds(*pipes)

    def _internal_poll(self, *_, **__):
        self._wait_for_the_end(0)
        return self.returncode

    def _wait(self, timeout):
        self._wait_for_the_end(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self.args, timeout)
        return self.returncode

    def _wait_for_the_end(self, timeout):
        if self.returncode is None and select.select([self._server], [], [], timeout)[0]:
            self.returncode = int(self._answers.readline())
            self._answers.close()
            self._server.close()


def serve(path, ready):
    """Fork for each request, and say how each child ended; return the request in the child."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    ended, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    os.write(ready, b"1")
    os.close(ready)
    clients = {}
    while True:
        readable, _, _ = select.select([0, listener, ended], [], [])
        if 0 in readable:
            os._exit(0)
        if ended in readable:
            os.read(ended, 512)
            _report(clients)
        if listener in readable:
            client, _ = listener.accept()
            first, streams, _, _ = socket.recv_fds(client, 1, 3)
            request = json.loads(first + client.makefile("rb").readline())
            pid = os.fork()
            if not pid:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for target, stream in enumerate(streams):
                    os.dup2(stream, target)
                os.closerange(3, max(streams[-1], wake, client.fileno()) + 1)
                for kept in (listener, client):
                    kept.detach()
                return request
            for stream in streams:
                os.close(stream)
            clients[pid] = client
            client.sendall(f"{pid}\n".encode())


def _report(clients):
    """Tell the client of each child that has ended its return code."""
    while clients:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        client = clients.pop(pid)
        with contextlib.suppress(OSError):  # nobody waits for it
            client.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
        client.close()


def become(request):
    """Run the command of a request in this process, as ``python -u -m impasto`` does."""
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        old = getattr(sys, name)
        raw = io.FileIO(number, "r" if name == "stdin" else "w", closefd=False)
        new = io.TextIOWrapper(raw, encoding=old.encoding, errors=old.errors, write_through=True)
        setattr(sys, name, new)
        setattr(sys, f"__{name}__", new)
    sys.argv[1:] = request["words"]
    sys.path[0] = request["cwd"]
    runpy.run_module("impasto", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    import torch  # noqa: F401

    import impasto.api
    import impasto.cli.app
    import impasto.engine.painting  # noqa: F401

    become(serve(sys.argv[1], int(sys.argv[2])))

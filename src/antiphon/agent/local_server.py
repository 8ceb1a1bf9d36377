"""The child process of `local`: a model behind an OpenAI-compatible server on loopback, until its parent is gone.

Its standard input is a pipe that the parent holds open: the end of it, which the kernel makes even when the parent is
killed, is the sign to end. (A death signal would come when the parent's *thread* ends, which means nothing.)
"""

from __future__ import annotations

import os
import sys

import xllamacpp

MODEL_NAME = "smollm2-135m-instruct"

_CONTEXT_TOKENS = 4096
_SLOTS = 2
_ANSWER_TOKENS = 256
_HTTP_THREADS = 4


def free_threads() -> int:
    """How many threads the model may use: one core stays with the server, since more threads than cores only spin."""
    return max(1, len(os.sched_getaffinity(0)) - 1)


def main() -> None:
    """Serve the weights named on the command line; print the address; end with the parent."""
    # What the engine prints must neither be taken for the address nor fill a pipe that nobody reads.
    address = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    parameters = xllamacpp.CommonParams()
    parameters.model.path = sys.argv[1]
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    parameters.api_keys = [os.environ["ANTIPHON_LOCAL_MODEL_KEY"]]
    parameters.n_ctx = _CONTEXT_TOKENS
    parameters.n_parallel = _SLOTS
    parameters.n_predict = _ANSWER_TOKENS
    parameters.n_threads_http = _HTTP_THREADS
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = free_threads()
    parameters.model_alias = {MODEL_NAME}
    parameters.ui = False
    parameters.verbosity = 0
    server = xllamacpp.Server(parameters)
    address.write(f"{server.listening_address}\n")
    address.close()
    sys.stdin.buffer.read()
    os._exit(0)  # its threads may be in the middle of an answer that nobody waits for


if __name__ == "__main__":
    main()

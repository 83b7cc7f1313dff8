"""Messages in, text out: one protocol, four backends, one cache over all of them.

    backend.Request -> Backend.generate -> backend.Generation; build.build_backend(llm) gives the cached one a stage uses.

Invariants: the order of requests is kept; a failed request is a value (`Generation.error`), never a made-up text, and is
never cached; a request is paid for once, also across a kill -9. torch, transformers, vllm and openai are imported late.
Nothing is imported here, so that a room which only loads a checkpoint does not depend on the backends.
"""

"""A module with a hook of its own, which another one imports by name."""


def post_worker_init(worker):
    print("hook: never", flush=True)


def worker_exit(worker):
    print("hook: never", flush=True)

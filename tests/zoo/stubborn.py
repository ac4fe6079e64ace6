"""Does not want to end: ignores signals, has a thread that goes on, and waits at exit."""

import atexit
import signal
import threading

import hangs

for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
threading.Thread(target=threading.Event().wait).start()
atexit.register(threading.Event().wait)

wsgi = hangs.wsgi
asgi = hangs.asgi

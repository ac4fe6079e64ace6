"""Never returns from import."""

import threading

from keeper import note

note("waits")
threading.Event().wait()

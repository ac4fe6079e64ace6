"""Never returns from import."""

import threading

threading.Event().wait()

"""Compares the accelerated frameworks with themselves as they are: every outcome has to be the same.

Run by the interpreter of an environment that has Flask, FastAPI, Django REST framework and orjson, of any versions:

    python tests/accelerate/differential.py [--cases N] [--seed N]

All random values are made twice, from the same seed, once for each run. Exit code 1: outcomes differ, or the
accelerated code was hardly used, so that they prove nothing.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
# Last: in the checkout the package's folder must not hide anything.
sys.path.append(str(HERE.parents[1] / "pyshim"))

os.environ["DJANGO_SETTINGS_MODULE"] = "django_settings"

import customised  # noqa: E402
import earlier  # noqa: E402
import fastapi.encoders  # noqa: E402
import surfaces  # noqa: E402
import values  # noqa: E402
from pyspeed import accelerate  # noqa: E402
from pyspeed.accelerate import exact  # noqa: E402

# With fewer cases than that the customised surfaces get a third of the fixed ones.
FEW = 50
# What stays with the frameworks, and what does in some versions only: a response model of Any.
LEFT = ("flask indented", "rest indented", "jsonable_encoder exclude_none", "fastapi /anything")


class Counts:
    """How often an encoder or decoder was asked, and how often it was sure, in all and in each surface."""

    now = ""  # the surface

    def __init__(self) -> None:
        self.asked = self.sure = 0
        self.of: dict[str, int] = {}

    def count(self, outcome: object) -> None:
        self.asked += 1
        if outcome is not exact.UNSURE:
            self.sure += 1
            self.of[Counts.now] = self.of.get(Counts.now, 0) + 1


def counted() -> tuple[Counts, Counts]:
    """Has the encoders and the decoder that are made from now on counted."""
    encoding, decoding = Counts(), Counts()
    encoder, decode = exact.Orjson.encoder, exact.Orjson.decode

    def counting_encoder(self, *args, **kwargs):
        encode = encoder(self, *args, **kwargs)

        def counting(value):
            data = encode(value)
            encoding.count(data)
            return data

        return counting

    def counting_decode(self, data):
        value = decode(self, data)
        decoding.count(value)
        return value

    exact.Orjson.encoder, exact.Orjson.decode = counting_encoder, counting_decode
    return encoding, decoding


def writes_at_once() -> bool:
    """Whether FastAPI, accelerated, writes what an endpoint returned without a copy."""
    copied: list[bytes] = []
    copy = exact.Orjson.copy
    exact.Orjson.copy = lambda self, data: copied.append(data) or copy(self, data)
    try:
        written = surfaces.FastAPIs().of("/untyped")({"a": [1.5]})
    finally:
        exact.Orjson.copy = copy
    return "1.5" in written and not copied


def run(seed: int, cases: int, with_customised: bool = True) -> dict[str, str]:
    """The outcome of each case, by its name."""
    of_values, of_bodies = surfaces.surfaces()
    plain = set(of_values)
    if with_customised:
        for own, into in zip(customised.surfaces({**of_values, **of_bodies}), (of_values, of_bodies)):
            into.update(own)
    outcomes = {}
    for name, surface in of_values.items():
        Counts.now = name
        for number, value in enumerate(values.corners()):
            if number % 3 and cases < FEW and name not in plain:
                continue
            outcomes[f"{name}, corner {number}"] = surface(value)
        for number in range(cases):
            outcomes[f"{name}, value {number}"] = surface(values.value(random.Random(f"{seed}-{number}")))
    for name, surface in of_bodies.items():
        Counts.now = name
        for number, text in enumerate(values.TEXTS):
            outcomes[f"{name}, text {number}"] = surface(text.encode("utf-8", "surrogatepass"))
        for number in range(cases):
            outcomes[f"{name}, body {number}"] = surface(values.body(random.Random(f"{seed}-{number}")))
    return outcomes


def never_sure(encoding: Counts, decoding: Counts) -> list[str]:
    """The surfaces that should have been accelerated at least once, and have not been."""
    of_values, of_bodies = surfaces.surfaces()
    return [name for name in of_values if name not in LEFT and name not in encoding.of] + [
        name for name in of_bodies if name not in decoding.of
    ]


def taken_meanwhile(encoder: Any, before: dict[str, str]) -> list[str]:
    """Outcomes of a jsonable_encoder that was imported while it was accelerated, and is used afterwards."""
    wrong = []
    for number, value in enumerate(values.corners()):
        outcome = surfaces.attempt(lambda value=value: surfaces.typed(encoder(value)))
        if outcome != before[f"jsonable_encoder, corner {number}"]:
            wrong.append(outcome)
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=300)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    options = parser.parse_args()
    # Werkzeug and Flask log what is raised.
    logging.disable(logging.CRITICAL)
    print(f"seed {options.seed}, {options.cases} cases", flush=True)
    before = run(options.seed, options.cases)
    encoding, decoding = counted()
    accelerate.begin()
    report = accelerate.report()
    print("accelerated:", ", ".join(report["accelerated"]))
    encoding.__init__()  # the trial of orjson does not count
    decoding.__init__()
    after = run(options.seed, options.cases)
    if not writes_at_once():
        print("FastAPI's answers are copied before they are written")
        return 1
    wrong = [name for name in before if before[name] != after[name]]
    for name in wrong[:20]:
        print(f"DIFFERENT: {name}\n  before: {before[name]:.900}\n  after:  {after[name]:.900}")
    print(
        f"{len(before)} outcomes, {len(wrong)} different; "
        f"encoders sure of {encoding.sure} of {encoding.asked}, decoder of {decoding.sure} of {decoding.asked}"
    )
    if report["not_accelerated"] or report["accelerated_later"] or len(report["accelerated"]) != 7:
        print("not everything is accelerated:", report)
        return 1
    if encoding.sure < 1000 or decoding.sure < 30:  # which the fixed cases give already
        print("the fast way is hardly ever taken")
        return 1
    slow = never_sure(encoding, decoding)
    if slow:
        print("never accelerated:", ", ".join(slow))
        return 1
    encoder = fastapi.encoders.jsonable_encoder
    accelerate.end()
    if encoder is fastapi.encoders.jsonable_encoder or taken_meanwhile(encoder, before):
        print("after the end jsonable_encoder is another one")
        return 1
    asked = encoding.asked + decoding.asked
    again = run(options.seed, min(options.cases, 20), with_customised=False)
    if encoding.asked + decoding.asked != asked or any(before[name] != again[name] for name in again):
        print("something is accelerated still")
        return 1
    wrong_earlier = earlier.different()
    for line in wrong_earlier[:20]:
        print(f"DIFFERENT: {line:.900}")
    return 1 if wrong or wrong_earlier else 0


if __name__ == "__main__":
    sys.exit(main())

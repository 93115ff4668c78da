"""Request and response: a service that calculates, and a client that asks it.

::

    telex serve                                   # in a terminal
    python examples/service.py                    # in another one; Ctrl-C or SIGTERM ends it
    python examples/service.py --ask add 17 4     # in a third one

Start the service twice, and each request goes to one of the two: they share the subscription ``calc``.
"""

import argparse
import asyncio
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass

import telex

OPERATIONS: dict[str, Callable[[float, float], float]] = {
    "add": lambda a, b: a + b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
}


@dataclass
class Numbers:
    """What is asked for."""

    a: float
    b: float


@dataclass
class Answer:
    """What comes back: a result, or why there is none."""

    result: float | None = None
    error: str = ""


def service(url: str) -> telex.Client:
    """The service, ready to run."""
    app = telex.Client(url)

    @app.responds("$share/calc/calculator/{operation}", qos=1, concurrency=10)
    async def calculate(operation: str, message: telex.Message) -> Answer:
        # What is raised here is logged, and nobody answers. Who asks should know what was wrong with it.
        try:
            numbers = message.decode(Numbers)
            return Answer(OPERATIONS[operation](numbers.a, numbers.b))
        except telex.PayloadError as error:
            return Answer(error=str(error))
        except KeyError:
            return Answer(error=f"{operation} is none of {', '.join(OPERATIONS)}")
        except ArithmeticError as error:
            return Answer(error=str(error))

    @app.on_connected
    def ready(event: telex.Connected) -> None:
        # The first time, the broker has granted the subscription by now: whoever asks is answered.
        print("connected: calculator/... answers", flush=True)

    return app


async def ask(url: str, operation: str, a: float, b: float) -> Answer:
    """Ask it once."""
    async with telex.Client(url) as client:
        # At QoS 1 the broker says so if there is no such service; otherwise the answer would not come in time.
        reply = await client.request(f"calculator/{operation}", Numbers(a, b), qos=1, timeout=5)
        return reply.decode(Answer)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A calculator behind a broker.")
    parser.add_argument("--url", default="mqtt://localhost", help="the broker (%(default)s)")
    parser.add_argument("--ask", nargs=3, metavar=("OPERATION", "A", "B"), help="ask the service, and end")
    given = parser.parse_args()
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    if not given.ask:
        service(given.url).run()
    else:
        operation, a, b = given.ask
        try:
            answer = asyncio.run(ask(given.url, operation, float(a), float(b)))
        except telex.MqttError as error:
            sys.exit(f"no answer: {error}")
        if answer.error:
            sys.exit(f"refused: {answer.error}")
        print(answer.result)

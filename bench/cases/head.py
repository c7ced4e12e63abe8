"""HEAD of an object that the gateway knows, signed in its header."""

from bench.environment import Environment
from bench.report import Sample, Target
from bench.servers import BUCKET


class Head:
    """HEAD, every one of them with a signature to verify."""

    name = "head"
    target = Target(150.0, "CPU µs")

    def __init__(self) -> None:
        self._stored = False

    def measure(self, environment: Environment) -> Sample:
        if not self._stored:
            environment.store_twice(self.name, 1000)
            self._stored = True
        # Signed anew in every round: a signature is good for a quarter of an hour.
        load = environment.load_gateway([environment.signer.signed("HEAD", f"/{BUCKET}/{self.name}")], head_only=True)
        return Sample(load.cpu_us, {"req/s": load.requests / load.seconds})

"""The batches of a harvest on a Ray cluster: decoding on every core, networks where the GPUs are, one writer.

The run that started it plans, gathers and writes as it does alone, so a store knows no difference. Decoding is done by
tasks on whatever cores are free, in processes that can be killed; a network is an actor. What is lost with a node (what
was decoded there, what its network was at) is done again elsewhere. Needs `pip install ray`, an optional extra.
"""

import logging
import os
import threading
import time
import warnings
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, cast

from .cores import usable_cores
from .engine import Batch, Clock, Decoding, Judged, read_row
from .fetch import FetchingPool
from .store.evidence import Answers, Faults, ReadClip, judge_batch, prepare_batch
from .teachers.own import check_members
from .teachers.teacher import Teacher

logger = logging.getLogger(__name__)

TRIES = 5
"""A batch whose worker was lost so often is given up, and with it the run."""
_LEAST_BYTES = 1
"""Of memory a network asks for: Ray places actors that ask for nothing anywhere, whatever node they were meant for."""
_PER_NETWORK = 2
"""Batches a network has at a time: one is prepared while the other is computed."""
_NOTICE_SECONDS = 30.0
"""After so long without any result it is said that the cluster gives none."""


@dataclass(frozen=True, kw_only=True)
class RayOptions:
    """Where a harvest runs."""

    address: str | None = None
    """Address of a running cluster, or `auto`; else one is started, or RAY_ADDRESS taken."""
    networks: int | None = None
    """Copies of the networks (one per GPU, else one per node)."""

    def __post_init__(self) -> None:
        """Refuse a cluster without networks."""
        if self.networks is not None and self.networks < 1:
            raise ValueError(f"networks must be at least 1, got {self.networks}")


@dataclass(frozen=True)
class RemoteTeacher:
    """What is known here of a teacher that lives elsewhere."""

    role: str
    sample_rate: int | None
    known: Mapping[str, object]

    def identity(self) -> dict[str, object]:
        """See `Teacher.identity`."""
        return dict(self.known)


class RayEngine:
    """A cluster that decodes and judges. Use it in a `with` block."""

    def __init__(self, build: Callable[[], Sequence[Teacher]], options: RayOptions | None = None) -> None:
        """Start nothing yet.

        Args:
            build: Makes the teachers, on every node that has them; goes there by pickle.
            options: None for a cluster on this machine.

        Raises:
            ValueError: Ray is not installed.
        """
        self._ray = _import_ray()
        self._build, self._options = build, options or RayOptions()
        self._started = False
        self._networks: dict[Any, int] = {}  # actor: batches it has
        self._starting: dict[Any, Any] = {}  # reference of its first answer: actor
        self._given: Counter[str] = Counter()  # networks by node
        self._known: list[tuple[str, int | None, dict[str, object]]] = []
        self.clock = Clock()

    def __enter__(self) -> "RayEngine":
        """Join the cluster, start the networks and learn who the teachers are.

        Raises:
            ValueError: The cluster cannot be reached, or what `build` raises.
        """
        if not self._ray.is_initialized():
            try:
                own = self._options.address is None and not os.environ.get("RAY_ADDRESS")
                begin = partial(self._ray.init, include_dashboard=False) if own else self._ray.init
                begin(address=self._options.address, log_to_driver=False)
            except (ConnectionError, RuntimeError, ValueError) as error:
                raise ValueError(f"no Ray cluster at {self._options.address!r} ({error}); see `ray status`") from error
            self._started = True
        try:
            # as many as asked for, else one per GPU of the cluster, or one per node where there is none
            gpus = self._ray.cluster_resources().get("GPU", 0)
            for _ in range(self._options.networks or int(gpus) or len(self._nodes()) or 1):
                self._start_network()
            self._known = self._get(next(iter(self._starting)))
        except BaseException:
            self.__exit__()
            raise
        return self

    @property
    def teachers(self) -> list[Teacher]:
        """Who the teachers are, for `harvest`."""
        return [cast(Teacher, RemoteTeacher(*known)) for known in self._known]

    def __exit__(self, *error: object) -> None:
        """Let go of the networks, and of the cluster if it was started here."""
        for actor in (*self._networks, *self._starting.values()):
            self._ray.kill(actor)
        self._networks.clear()
        self._starting.clear()
        if self._started:
            self._ray.shutdown()
            self._started = False

    def judged(self, batches: Iterator[Batch], decoding: Decoding) -> Generator[tuple[Batch, Judged], None, None]:
        """See `Engine.judged`."""
        work = _Work(batches)
        decode = self._ray.remote(num_cpus=1, max_retries=TRIES)(_decode)
        networks = max(1, len(self._networks) + len(self._starting))
        began = time.monotonic()
        try:
            while True:
                cores = max(1, int(self._ray.cluster_resources().get("CPU", 1)))
                while work.open < cores + _PER_NETWORK * networks and (batch := work.next()):
                    work.decoding[decode.remote(batch, decoding)] = batch
                self._hand_out(work)
                if not work.open:
                    return
                for reference in self._ended(work):
                    if (found := self._take(work, reference)) is not None:
                        asked = time.monotonic()
                        yield found
                        self.clock.host += time.monotonic() - asked
                wall = networks * (time.monotonic() - began)
                self.clock.decode = max(0.0, wall - self.clock.host - self.clock.network)
        finally:
            for reference in work.decoding:
                self._ray.cancel(reference)

    def _ended(self, work: "_Work") -> list[Any]:
        """References of what has ended, at least one unless the cluster keeps silent."""
        waited_for = [*self._starting, *work.judging, *work.decoding]
        ended: list[Any] = self._ray.wait(waited_for, timeout=_NOTICE_SECONDS, fetch_local=False)[0]
        if ended:  # and what else has by now
            ended = self._ray.wait(waited_for, num_returns=len(waited_for), timeout=0, fetch_local=False)[0]
        if not ended:
            logger.warning("no result from the cluster for %.0f s; `ray status` says what it lacks", _NOTICE_SECONDS)
        return ended

    def _nodes(self) -> list[str]:
        """Names of the nodes that have cores."""
        return [node["NodeID"] for node in self._ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]

    def _strategy(self, gpus: int) -> object:
        """Where a network goes: to a GPU wherever it is, else to the node that was given the fewest, if it lives."""
        if gpus or not (nodes := self._nodes()):
            return "SPREAD"
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        name = min(nodes, key=self._given.__getitem__)
        self._given[name] += 1
        return NodeAffinitySchedulingStrategy(node_id=name, soft=True)

    def _start_network(self) -> None:
        """Ask for a network. It takes a GPU but no core, so that networks never keep decoders from their cores."""
        gpus = 1 if self._ray.cluster_resources().get("GPU", 0) else 0
        wanted = self._ray.remote(num_cpus=0, num_gpus=gpus, max_concurrency=_PER_NETWORK + 1)(_Network)
        threads = int(os.environ.get("OMP_NUM_THREADS") or 0)
        place = wanted.options(scheduling_strategy=self._strategy(gpus), memory=_LEAST_BYTES)
        actor = place.remote(self._build, threads)
        self._starting[actor.describe.remote()] = actor

    def _replace_network(self) -> None:
        """Ask for a network in the place of one that is gone."""
        logger.warning("a network was lost with its node; what it was at is done again")
        self._start_network()

    def _hand_out(self, work: "_Work") -> None:
        """Give decoded batches to the networks that have the fewest."""
        while work.decoded and self._networks:
            actor = min(self._networks, key=self._networks.__getitem__)
            if self._networks[actor] >= _PER_NETWORK:
                return
            reference, batch = work.decoded.popleft()
            self._networks[actor] += 1
            work.judging[actor.judge.remote(reference)] = (batch, actor)

    def _take(self, work: "_Work", reference: Any) -> tuple[Batch, Judged] | None:  # noqa: ANN401
        """Move on what has ended; a batch that is judged comes back."""
        if reference in self._starting:
            actor = self._starting.pop(reference)
            if self._survived(reference):
                self._networks[actor] = 0
            else:
                self._replace_network()
        elif reference in work.decoding:
            work.decoded.append((reference, work.decoding.pop(reference)))
        else:
            batch, actor = work.judging.pop(reference)
            if actor in self._networks:
                self._networks[actor] -= 1
            return self._result(work, reference, batch, actor)
        return None

    def _result(
        self,
        work: "_Work",
        reference: Any,  # noqa: ANN401
        batch: Batch,
        actor: Any,  # noqa: ANN401
    ) -> tuple[Batch, Judged] | None:
        """What became of a batch; None when it was lost and is done again."""
        try:
            found = self._get(reference)
        except self._ray.exceptions.RayError as error:
            work.again(batch, error)
            if isinstance(error, self._ray.exceptions.RayActorError) and self._networks.pop(actor, None) is not None:
                self._replace_network()
            return None
        self.clock.host += found.host
        self.clock.network += found.network
        return batch, Judged([row for row, _ in found.clips], found.answers, found.faults)

    def _survived(self, reference: Any) -> bool:  # noqa: ANN401
        """Whether a network has come up, with the teachers of the first one.

        Raises:
            ValueError: It has others.
        """
        try:
            known = self._get(reference)
        except self._ray.exceptions.RayActorError:
            return False
        if known != self._known:
            raise ValueError("the nodes of the cluster have different teachers; give all of them the same weights")
        return True

    def _get(self, reference: Any) -> Any:  # noqa: ANN401
        """What a task or an actor answers; what it raised is raised as it was there."""
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, self._ray.exceptions.RayError):
                raise error.cause from error
            raise error.cause from None


@dataclass
class _Work:
    """Batches that are under way."""

    batches: Iterator[Batch]
    decoding: dict[Any, Batch] = field(default_factory=dict)
    decoded: deque[tuple[Any, Batch]] = field(default_factory=deque)
    judging: dict[Any, tuple[Batch, Any]] = field(default_factory=dict)
    lost: deque[Batch] = field(default_factory=deque)
    tries: Counter[tuple[int, int]] = field(default_factory=Counter)

    @property
    def open(self) -> int:
        """How many are somewhere on the cluster."""
        return len(self.decoding) + len(self.decoded) + len(self.judging)

    def next(self) -> Batch | None:
        """A batch to be decoded."""
        return self.lost.popleft() if self.lost else next(self.batches, None)

    def again(self, batch: Batch, error: Exception) -> None:
        """Have a batch done again, unless it has cost too many workers.

        Raises:
            OSError: It has.
        """
        name = (batch.shard, batch.positions.start)
        self.tries[name] += 1
        if self.tries[name] >= TRIES:
            raise OSError(
                f"the batch of {batch.rows[0].clip_id} lost its worker {TRIES} times (last: {type(error).__name__}); "
                "see the logs of the cluster, and run again: what is finished is kept"
            ) from error
        self.lost.append(batch)


@dataclass(frozen=True)
class _Found:
    """What a network answers to a batch."""

    clips: list[tuple[Any, None]]
    """Rows without their media, which stay where they are."""
    answers: Answers
    faults: Faults
    host: float
    network: float
    """Seconds."""


class _Network:
    """The teachers on one node; one thread computes, another prepares the next batch."""

    def __init__(self, build: Callable[[], Sequence[Teacher]], threads: int) -> None:
        """Load nothing yet, so that what is wrong with a teacher is said in an answer.

        Args:
            build: Makes the teachers.
            threads: Of a network on cores; 0 for all of the node. Ray would give an actor without cores one.
        """
        self._build, self._threads = build, threads
        self._teachers: Sequence[Teacher] = ()
        self._busy = threading.Lock()

    def describe(self) -> list[tuple[str, int | None, dict[str, object]]]:
        """Role, sample rate and identity of each teacher."""
        import torch

        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        torch.set_num_threads(self._threads or usable_cores())
        self._teachers = self._build()
        for teacher in self._teachers:
            check_members(teacher)
        return [(teacher.role, teacher.sample_rate, teacher.identity()) for teacher in self._teachers]

    def judge(self, clips: Sequence[ReadClip]) -> _Found:
        """Evidence of a decoded batch."""
        started = time.monotonic()
        inputs = prepare_batch(self._teachers, clips)
        prepared = time.monotonic() - started
        with self._busy:
            started = time.monotonic()
            answers, faults = judge_batch(self._teachers, inputs)
            computed = time.monotonic() - started
        return _Found([(row, None) for row, _ in clips], answers, faults, prepared, computed)


def _decode(batch: Batch, decoding: Decoding) -> list[ReadClip]:
    """Decode a batch, clip by clip.

    Raises:
        OSError: This node does not see a file that the run has seen.
    """
    pool = _pool(decoding)
    clips = []
    for row, path in zip(batch.rows, batch.paths, strict=True):
        if isinstance(path, Path) and not path.is_file():
            raise OSError(f"{path}: not to be seen on a node; give a path that all nodes see")
        clips.append(read_row(row, path, pool.submit(path, decoding.grid).result if path else None))
    return clips


@lru_cache(maxsize=1)
def _pool(decoding: Decoding) -> FetchingPool:
    """The decoding process of this worker of the cluster, which ends with it."""
    return decoding.pool(1)


def _import_ray() -> Any:  # noqa: ANN401
    """Ray, without its usage reports."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise ValueError("this needs Ray: pip install ray; or divide the work with share=i/n") from error
    return ray

"""Connects the ranks that a launcher has started: passes the work on, and ends all ranks when one is lost.

The ranks share a key-value store on the first node. Each writes a heartbeat to it; rank 0 watches all others, and they
watch rank 0. Collective operations cannot do this: with NCCL they would wait for a rank that no longer exists.
"""

import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from torch import distributed

from llmrec.errors import InputError
from llmrec.training.cluster import LaunchedRank

RANK_TIMEOUT = timedelta(days=7)
"""Long, because ranks may wait for rank 0 for hours; a rank that dies ends the others without this timeout."""
START_TIMEOUT_S = 600
"""Launchers start all ranks at about the same time: a rank that is not there by then has failed to start."""
NOTICE_S = 30
"""Time after which a rank that waits for others to start prints whom it waits for."""
HEARTBEAT_S = 1
"""Time between two heartbeats of a rank."""
HEARTBEAT_TIMEOUT_S = 120
"""A rank without a heartbeat for this long is lost. Much longer than a heartbeat, since a busy process may be late."""
LEAVE_S = 5
"""Time for the other ranks to read why the run has failed, before rank 0 takes the store with it."""
WORK, FAILURE, LEFT = "work", "failure", "left"
"""Keys of the store: the work, why the run has failed, and the number of ranks that need the store no more."""


class Rendezvous:
    """The connection of a launched rank to the others.

    Args:
        me: This process's place.
        timeout_s: Time without a heartbeat after which a rank is lost, in seconds.
        end: Ends this process; called with the reason in the thread of the heartbeat.

    Raises:
        InputError: Rank 0 cannot be reached, or cannot open its port.
    """

    def __init__(
        self, me: LaunchedRank, timeout_s: float = HEARTBEAT_TIMEOUT_S, end: "Callable[[str], None] | None" = None
    ) -> None:
        self.me, self.timeout_s = me, timeout_s
        self.store = _connect(me, me.hosts_store)
        self.published = False
        # The store's connection is locked while the main thread waits for an answer.
        self._heartbeats = _connect(me, hosts_store=False)
        self._heartbeats.set(_heartbeat_of(me.rank), "0")
        self._seen: dict[int, tuple[bytes, float]] = {}
        self._end = end or _exit_at_once
        self._stopped = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def publish(self, work: str) -> None:
        """Passes the work to the other ranks, or an empty text for none, once all have connected.

        Raises:
            InputError: Ranks have not connected in time.
        """
        self.store.set(WORK, work)
        self.published = True
        started, noticed = time.monotonic(), False
        while missing := [rank for rank in range(self.me.world_size) if not self.store.check([_heartbeat_of(rank)])]:
            waited = time.monotonic() - started
            ranks = f"rank {missing[0]}" if len(missing) == 1 else f"ranks {', '.join(map(str, missing))}"
            if waited > START_TIMEOUT_S:
                raise InputError(
                    f"{ranks} did not connect to {_place(self.me)} within {START_TIMEOUT_S // 60} minutes. Start "
                    f"all {self.me.world_size} processes, and check that their nodes can open this address"
                )
            if waited > NOTICE_S and not noticed:
                print(f"still waiting for {ranks} of {self.me.world_size} to connect to {_place(self.me)}", flush=True)
                noticed = True
            time.sleep(0.05)

    def receive(self) -> str:
        """Waits for the work; an empty text if there is nothing to do."""
        return self.store.get(WORK).decode()

    def fail(self, error: BaseException) -> str | None:
        """Ends all ranks because this one has failed.

        Returns:
            The failure of another rank, of which this one is a consequence; None if this one is the first.
        """
        self._stop_watching()
        own = f"rank {self.me.rank} on {socket.gethostname()} failed: {describe_error(error)}"
        try:
            first = self.store.compare_set(FAILURE, "", own).decode()
            self._leave(self.store, LEAVE_S)
        except distributed.DistError:
            return self._unreachable()
        return None if first == own and not _is_lost_connection(error) else first

    def finish(self) -> None:
        """Leaves the other ranks after the work; rank 0, which may host the store, leaves last."""
        if self.me.rank == 0:
            if not self.published:
                self.publish("")
            self._leave(self.store, RANK_TIMEOUT.total_seconds())
            self._stop_watching()
        else:
            self._stop_watching()
            self._leave(self.store, 0)

    def _leave(self, store: distributed.Store, wait_s: float) -> None:
        """Tells rank 0 that this rank needs the store no more; rank 0 waits for the others to do so."""
        if self.me.rank:
            store.set(_heartbeat_of(self.me.rank), LEFT)
            store.add(LEFT, 1)
            return
        until = time.monotonic() + wait_s
        while store.add(LEFT, 0) < self.me.world_size - 1 and time.monotonic() < until:
            time.sleep(0.02)

    def _stop_watching(self) -> None:
        """Stops the thread of the heartbeat; never returns if it is ending the process already."""
        self._stopped.set()
        self._watcher.join()

    def _watch(self) -> None:
        """Sends heartbeats until it is stopped, and ends the process if the run has failed or a rank is lost."""
        executor = ThreadPoolExecutor(1)
        while not self._stopped.wait(HEARTBEAT_S):
            try:
                # A connection to a node that has vanished does not answer, nor does it fail.
                reason = executor.submit(self._exchange).result(self.timeout_s)
                if reason:
                    self._leave(self._heartbeats, LEAVE_S)
            except TimeoutError:
                reason = self._lost(0)
            except distributed.DistError:
                reason = self._unreachable()
            if reason:
                self._end(reason)
                return

    def _exchange(self) -> str | None:
        """Sends a heartbeat and reads those of the watched ranks; returns why the run must end, if it must."""
        store, now = self._heartbeats, time.monotonic()
        store.set(_heartbeat_of(self.me.rank), str(now))
        if store.check([FAILURE]):
            return store.get(FAILURE).decode()
        for rank in range(1, self.me.world_size) if self.me.rank == 0 else (0,):
            if not store.check([_heartbeat_of(rank)]):
                continue
            heard = store.get(_heartbeat_of(rank))
            before, since = self._seen.get(rank, (b"", now))
            if heard != before:
                self._seen[rank] = heard, now
            elif now - since > self.timeout_s and heard != LEFT.encode():
                store.set(FAILURE, self._lost(rank))
                return self._lost(rank)
        return None

    def _lost(self, rank: int) -> str:
        return (
            f"rank {rank} is lost: no heartbeat for {self.timeout_s:g} s, so its process hangs or its node is gone. "
            "The run has ended; the same command resumes it"
        )

    def _unreachable(self) -> str:
        return (
            f"the connection to rank 0 at {_place(self.me)} is broken: its process or its node is gone. The run has "
            "ended; the same command resumes it"
        )


def describe_error(error: BaseException) -> str:
    """Returns an exception of a rank in one line, for the other ranks."""
    if isinstance(error, SystemExit):
        if isinstance(error.__context__, InputError):
            return str(error.__context__)
        return f"ended with status {error.code}; see its output"
    if isinstance(error, InputError):
        return str(error)
    if _is_lost_connection(error):
        return (
            "it has lost the connection to another rank, whose process has been killed or whose node is gone. The same "
            "command resumes the run"
        )
    return f"{type(error).__name__}: {error}"


def _is_lost_connection(error: BaseException) -> bool:
    # NCCL raises a DistError; gloo raises a RuntimeError that begins with the path of its source file.
    return isinstance(error, distributed.DistError) or (isinstance(error, RuntimeError) and "gloo/" in str(error))


def _connect(me: LaunchedRank, hosts_store: bool) -> distributed.Store:
    for timeout_s in (NOTICE_S, START_TIMEOUT_S - NOTICE_S):
        try:
            store = distributed.TCPStore(
                me.address, me.port, is_master=hosts_store, wait_for_workers=False,
                timeout=timedelta(seconds=timeout_s),
            )  # fmt: skip
        except distributed.DistError as error:
            if hosts_store:
                raise InputError(
                    f"rank 0 cannot open port {me.port}: {str(error).splitlines()[0]}. Set MASTER_PORT to a free port"
                ) from error
            if timeout_s == NOTICE_S:
                print(f"rank {me.rank} still waits for rank 0 at {_place(me)}", flush=True)
        else:
            store.set_timeout(RANK_TIMEOUT)
            # torchrun may restart all ranks with the same store.
            return distributed.PrefixStore(f"llmrec/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", store)
    raise InputError(
        f"rank {me.rank} could not reach rank 0 at {_place(me)} within {START_TIMEOUT_S // 60} minutes. Check that "
        "rank 0 has started, and that MASTER_ADDR and MASTER_PORT name it on this node"
    )


def _heartbeat_of(rank: int) -> str:
    return f"heartbeat/{rank}"


def _place(me: LaunchedRank) -> str:
    return f"{me.address}:{me.port}"


def _exit_at_once(reason: str) -> None:
    """Ends the process, although its main thread may be in a collective operation that never returns."""
    print(f"llmrec: {reason}", file=sys.stderr, flush=True)
    os._exit(1)

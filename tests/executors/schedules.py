"""Processes that share a folder, played by threads: a seed decides who makes the next system call.

Every call that the lease makes of the file system is a point at which another process may go on,
be stopped for long, or be killed. The time of the file system is simulated; hosts have no clock.
"""

import os
import random
import shutil
import threading
import uuid
from collections import Counter
from unittest.mock import patch

from volbench.executors import lease as leases
from volbench.executors.lease import LeaseHeldError, LeaseLostError, acquire

RENEWAL_S = 1.0
PATIENCE_NS = int(leases.MISSED_RENEWALS * RENEWAL_S * 1e9)


class Killed(BaseException):
    """A process that gets this makes no further system call."""


class Actor:
    """One simulated process: runs until its next system call whenever it is given the baton."""

    def __init__(self, name, target):
        self.name = name
        self.baton, self.returned = threading.Semaphore(0), threading.Semaphore(0)
        self.dead = self.over = False
        self.stopped_until = 0
        self.thread = threading.Thread(target=self._run, args=(target,), daemon=True)
        self.thread.start()

    def _run(self, target):
        self.baton.acquire()
        try:
            target(self)
        except Killed:
            pass
        finally:
            self.over = True
            self.returned.release()

    def point(self):
        if self.dead:
            raise Killed
        self.returned.release()
        self.baton.acquire()
        if self.dead:
            raise Killed

    def step(self):
        self.baton.release()
        self.returned.acquire()


class Calls:
    """Stands in for a module: its functions that touch the file system are points."""

    def __init__(self, module, world, names, **instead):
        self._module, self._world, self._names, self._instead = module, world, names, instead

    def __getattr__(self, name):
        function = self._instead.get(name, getattr(self._module, name))
        if name not in self._names:
            return function

        def called(*args, **kwargs):
            if (actor := self._world.current()) is not None:
                actor.point()
            return function(*args, **kwargs)

        return called


class World:
    def __init__(self, folder, seed, *, actors, tasks):
        self.folder, self.random = folder, random.Random(seed)
        self.tasks = [f"{number:02d}" for number in range(tasks)]
        self.now_ns = 10**18
        self.published = Counter()
        self.trained = Counter()
        self.actors = [Actor(f"p{number}", self.work) for number in range(actors)]
        self.by_thread = {actor.thread: actor for actor in self.actors}

    def current(self):
        return self.by_thread.get(threading.current_thread())

    def work(self, actor):
        order = self.tasks[:]
        random.Random(f"{self.random.random()}{actor.name}").shuffle(order)
        while missing := [task for task in order if not self.is_published(task)]:
            for task in missing:
                actor.point()
                if not self.is_published(task):
                    self.attempt(actor, task)

    def attempt(self, actor, task):
        try:
            lease = acquire(self.folder / "attempts" / task, renewal_s=RENEWAL_S)
        except LeaseHeldError:
            actor.stopped_until = self.now_ns + 10**9
            return
        if self.is_published(task):
            lease.release("redundant")
            return
        mark = uuid.uuid4().hex
        self.trained[task] += 1
        try:
            for name in ("a", "b", "result"):
                actor.point()
                lease.renew()
                actor.point()
                (lease.out / name).write_text(mark)
            lease.publish(self.folder / "folds" / task)
        except (LeaseLostError, FileNotFoundError):
            return
        self.published[task] += 1

    def is_published(self, task):
        return (self.folder / "folds" / task / "result").exists()

    def play(self):
        with self.patched():
            while alive := [actor for actor in self.actors if not actor.over]:
                self.disturb(alive)
                alive = [actor for actor in alive if not actor.over]
                ready = [actor for actor in alive if actor.stopped_until <= self.now_ns]
                self.now_ns += int(self.random.expovariate(1) * 0.08e9)
                if ready:
                    self.random.choice(ready).step()
                elif alive:
                    self.now_ns = min(actor.stopped_until for actor in alive)

    def disturb(self, alive):
        actor = self.random.choice(alive)
        draw = self.random.random()
        if draw < 0.02:  # longer or shorter than the lease's patience
            actor.stopped_until = self.now_ns + int(self.random.uniform(0.2, 3) * PATIENCE_NS)
        elif draw < 0.023 and len([one for one in alive if not one.dead]) > 1:
            actor.dead = True
            actor.step()

    def patched(self):
        def utime(path):
            os.utime(path, ns=(self.now_ns, self.now_ns))

        def write(path, text):
            path.write_text(text)
            os.utime(path, ns=(self.now_ns, self.now_ns))

        calls = Calls(os, self, {"rename", "listdir", "utime", "open"}, utime=utime)
        trees = Calls(shutil, self, {"rmtree"})
        return patch.multiple(leases, os=calls, shutil=trees, _write=write)

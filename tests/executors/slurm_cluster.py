"""A whole SLURM cluster on one machine, without root's services: own sockets, own state.

Needs Debian's packages slurmctld, slurmd, munge (`apt-get install`, services not started).
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue")
PATHS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

CONFIG = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={root}/munge.socket
CredType=cred/munge
SlurmctldPort={port}
SlurmctldPidFile={root}/ctld.pid
SlurmdPidFile={root}/slurmd.%n.pid
SlurmdSpoolDir={root}/spool.%n
StateSaveLocation={root}/state
SlurmctldLogFile={root}/ctld.log
SlurmdLogFile={root}/slurmd.%n.log
SwitchType=switch/none
MpiDefault=none
TaskPlugin=task/none
ProctrackType=proctrack/linuxproc
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,sched_min_interval=100000
SlurmdTimeout=10
KillWait=20
OverTimeLimit=0
MinJobAge=600
ReturnToService=2
RebootProgram=/bin/true
NodeName=n[1-3] NodeHostname={host} NodeAddr=127.0.0.1 Port=[{first}-{last}] CPUs=2 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing():
    """Programs that are not installed."""
    return [name for name in PROGRAMS if shutil.which(name, path=PATHS) is None]


class SlurmCluster:
    """Three nodes on this machine; a context manager."""

    nodes = ("n1", "n2", "n3")

    def __init__(self, root: Path):
        self.root = root
        self.daemons: dict[str, subprocess.Popen] = {}
        self.env = {**os.environ, "SLURM_CONF": str(root / "slurm.conf")}

    def __enter__(self):
        self.root.mkdir(parents=True)
        self.root.chmod(0o755)
        (self.root / "state").mkdir()
        port = free_ports(4)
        text = CONFIG.format(
            root=self.root,
            host=socket.gethostname(),
            user="root" if os.getuid() == 0 else os.environ.get("USER", "nobody"),
            port=port,
            first=port + 1,
            last=port + 3,
        )
        (self.root / "slurm.conf").write_text(text)
        try:
            self.start_munge()
            self.start("ctld", "slurmctld", "-D", "-i")
            for node in self.nodes:
                self.start_node(node)
            self.until(lambda: self.says("sinfo", "-h", "-o", "%t %D").strip() == "idle 3")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        with contextlib.suppress(Exception):
            subprocess.run(
                ["scancel", "--full", "--state=RUNNING"], env=self.env, timeout=20, check=False
            )
            subprocess.run(["scancel", "--state=PENDING"], env=self.env, timeout=20, check=False)
            time.sleep(1)
        for daemon in reversed(list(self.daemons.values())):
            daemon.kill()
            daemon.wait()
        self.daemons.clear()

    def start_munge(self):
        key = self.root / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        options = [f"--key-file={key}", f"--socket={self.root}/munge.socket"]
        options += [f"--log-file={self.root}/munge.log", f"--pid-file={self.root}/munge.pid"]
        options += [f"--seed-file={self.root}/munge.seed", "--foreground", "--force"]
        self.start("munge", "munged", *options)
        self.until((self.root / "munge.socket").exists)

    def start_node(self, node):
        (self.root / f"spool.{node}").mkdir(exist_ok=True)
        self.start(node, "slurmd", "-D", "-N", node)

    def start(self, name, program, *options):
        path = shutil.which(program, path=PATHS)
        with (self.root / f"{name}.out").open("a") as log:
            self.daemons[name] = subprocess.Popen(
                [path, *options], env=self.env, stdout=log, stderr=log, start_new_session=True
            )

    def kill_daemon(self, node):
        """The daemon dies; what it started runs on, unwatched."""
        daemon = self.daemons.pop(node)
        daemon.send_signal(signal.SIGKILL)
        daemon.wait()

    def says(self, *command):
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=60)
        return done.stdout

    def until(self, condition, seconds=60):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.logs()
            time.sleep(0.2)

    def logs(self):
        found = []
        for path in sorted([*self.root.glob("*.log"), *self.root.glob("*.out")]):
            with contextlib.suppress(OSError):
                found += [f"--- {path.name}", *path.read_text(errors="replace").splitlines()[-15:]]
        return "\n".join(found)


def free_ports(number):
    """The first of so many ports in a row that nobody listens on."""
    for first in range(20000 + os.getpid() % 10000, 60000, number):
        with contextlib.ExitStack() as stack:
            try:
                for port in range(first, first + number):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return first
    raise OSError("no free ports")

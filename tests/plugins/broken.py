"""Plugins that are broken, one way each, as wheels that an installer takes."""

import base64
import hashlib
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

SOUND = '''
"""A mean over slices (made up for a test, 2026)."""

{before}
import torch
from volbench.interfaces import Aggregator


class Pool(Aggregator):
    """Mean of the real tokens."""

    def __init__(self, num_features):
        super().__init__()
        self.num_features = num_features
        {init}

    def forward(self, tokens, mask=None):
        {forward}
        if mask is None:
            mask = tokens.new_ones(tokens.shape[:2], dtype=torch.bool)
        kept = tokens.float().masked_fill(~mask[..., None], 0)
        return kept.sum(1) / mask.sum(1, keepdim=True)
'''


def sound(before="", *, init="pass", forward="pass"):
    """A plugin that works, but for these lines."""
    return SOUND.format(before=before, init=init, forward=forward)


def never(source):
    """A module that ends before it defines what its entry point names."""
    return f"{source}\n\nPool = None\n"


@dataclass(frozen=True)
class Broken:
    """One way to be broken.

    Attributes:
        name: Of the component; the distribution is ``broken-<name>``.
        source: Of its module ``broken_<name>``; None for no module at all.
        seen: What `volbench list` says of it without importing it.
        tried: What `volbench list plugins` says after importing it, if that differs.
        used: What using it says; None if it can be used all the same.
        checked: What `volbench plugin check` says of one that is found only in use.
        entry: What its entry point names, if not ``module:Pool``.
        group: The entry point's group.
        component: The name in the entry point, if not ``name``.
    """

    name: str
    source: str | bytes | None
    seen: str = ""
    tried: str = ""
    used: str | None = None
    checked: str = ""
    entry: str = ""
    group: str = "volbench.aggregators"
    component: str = ""

    @property
    def distribution(self):
        return f"broken-{self.name}"

    @property
    def says(self):
        return self.component or self.name


IMPORTED = [
    Broken(
        "raises",
        never("raise RuntimeError('two\nlines')".replace("\n", "\\n")),
        tried="RuntimeError: two lines",
        used="RuntimeError: two lines",
    ),
    Broken(
        "exits",
        never("import sys; sys.exit('no licence')"),
        tried="SystemExit: no licence",
        used="SystemExit: no licence",
    ),
    Broken(
        "interrupts",
        never("raise KeyboardInterrupt"),
        tried="KeyboardInterrupt",
        used="KeyboardInterrupt",
    ),
    Broken(
        "own_exception",
        never("class Odd(BaseException): pass\nraise Odd('odd')"),
        tried="Odd: odd",
        used="Odd: odd",
    ),
    Broken(
        "no_text",
        never("class Mute(Exception):\n    def __str__(self): return 1 / 0\nraise Mute"),
        tried="its text cannot be made",
        used="its text cannot be made",
    ),
    Broken("recursive", never("def f(): f()\nf()"), tried="RecursionError", used="RecursionError"),
    Broken(
        "dies",
        never("import os; os._exit(3)"),
        tried="ends the whole process",
        used="os._exit(3) ends the whole process",
    ),
    Broken(
        "aborts",
        never("import os; os.abort()"),
        tried="ends the whole process",
        used="os.abort() ends the whole process",
    ),
    Broken("number", "Pool = 3", tried="is not callable", used="is not callable"),
]

SEEN = [
    Broken("no_attribute", "x = 1", seen="has no 'Pool'", used="AttributeError"),
    Broken("no_module", None, seen="has no module 'broken_no_module'", used="ModuleNotFoundError"),
    Broken(
        "malformed", "x = 1", entry="bad pool", seen="not as module:name", used="not as module:name"
    ),
    Broken("syntax", "class Pool(:", seen="(SyntaxError)", used="SyntaxError"),
    Broken("binary", b"\x00\x01\x02", seen="unreadable module", used="cannot be imported"),
    Broken("no_unicode", b"x = '\xff\xfe'", seen="(SyntaxError)", used="SyntaxError"),
    Broken(
        "needs_more",
        never("import nobody_has_this"),
        seen="needs the module 'nobody_has_this'",
        used="install what provides 'nobody_has_this'",
    ),
    Broken(
        "clash_one",
        sound(),
        component="clash",
        seen="two distributions provide",
        used="two distributions provide",
    ),
    Broken(
        "clash_two",
        sound(),
        component="clash",
        seen="two distributions provide",
        used="two distributions provide",
    ),
    Broken("takes_over", sound(), component="average", seen="the name of volbench's own"),
    Broken(
        "no_such_kind",
        sound(),
        group="volbench.agregators",
        seen="did its authors mean 'volbench.aggregators'?",
    ),
]

BUILT = [
    Broken("wrong_type", "def Pool(num_features): return {}", used="is a dict, not a Aggregator"),
    Broken(
        "no_subclass",
        "import torch\nclass Pool(torch.nn.Module):\n    def __init__(self, n): super().__init__()",
        used="is a Pool, not a Aggregator",
    ),
    Broken(
        "abstract",
        "from volbench.interfaces import Aggregator\nclass Pool(Aggregator):\n"
        "    def __init__(self, n): super().__init__()",
        used="abstract method",
    ),
    Broken("no_signature", "Pool = dict", used="does not say how it is called"),
    Broken(
        "late_import", "def Pool(num_features):\n    import nobody_has_this", used="nobody_has_this"
    ),
    Broken("exits_late", "import sys\ndef Pool(num_features): sys.exit(0)", used="SystemExit"),
    Broken(
        "dies_late",
        "import os\ndef Pool(num_features): os._exit(0)",
        used="os._exit(0) ends the whole process",
    ),
]

MISBEHAVING = [
    Broken("prints", sound("print('hello')"), tried="prints to standard output ('hello')"),
    Broken(
        "reseeds",
        sound(
            "import torch, random, numpy\ntorch.manual_seed(0)\nrandom.seed(0)\n"
            "numpy.random.seed(0)"
        ),
        tried="Python's and NumPy's and PyTorch's global generator",
    ),
    Broken(
        "dtype",
        sound("import torch\ntorch.set_default_dtype(torch.float64)"),
        tried="torch's default dtype to torch.float64",
    ),
    Broken(
        "threads",
        sound("import torch\ntorch.set_num_threads(torch.get_num_threads() + 1)"),
        tried="torch's number of threads",
    ),
    Broken("moves", sound("import os\nos.chdir('/')"), tried="the working directory to /"),
    Broken(
        "signals",
        sound("import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)"),
        tried="a handler for SIGINT",
    ),
    Broken(
        "patches",
        sound("import volbench.plugins.registry as r\nr.Registry.build = None\ndel r.kinds_of"),
        tried="replaces volbench.",
    ),
]

IN_USE = [
    Broken("slow", sound("import time\ntime.sleep(1.5)"), checked="s to import, more than 1 s"),
    Broken("chatty", sound(forward="print('pooling')"), checked="when used, prints to standard"),
    Broken("seeds_itself", sound(init="torch.manual_seed(0)"), checked="calls torch.manual_seed"),
    Broken("wrong_shape", sound(forward="return tokens[:, 0, 1:]"), checked="correct num_features"),
    Broken("in_place", sound(forward="tokens.data.mul_(2)"), checked="changes its input in place"),
    Broken("hostile", sound(forward="import os; os._exit(5)"), checked="ends the whole process"),
]

BROKEN = [*IMPORTED, *SEEN, *BUILT, *MISBEHAVING, *IN_USE]


def write_wheel(plugin, folder):
    """A wheel as a build backend writes it."""
    package = f"broken_{plugin.name}"
    info = f"{package}-1.0.dist-info"
    entry = plugin.entry or f"{package}:Pool"
    files = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {plugin.distribution}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[{plugin.group}]\n{plugin.says} = {entry}\n",
    }
    if plugin.source is not None:
        files[f"{package}.py"] = plugin.source
    path = folder / f"{package}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        record = []
        for name, content in files.items():
            content = content.encode() if isinstance(content, str) else content
            wheel.writestr(name, content)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=")
            record.append(f"{name},sha256={digest.decode()},{len(content)}")
        wheel.writestr(f"{info}/RECORD", "\n".join([*record, f"{info}/RECORD,,"]) + "\n")
    return path


def install(plugins, folder: Path) -> Path:
    """Install them with pip, all in one go, into a folder of their own."""
    wheels, site = folder / "wheels", folder / "site"
    wheels.mkdir()
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    command += ["--no-compile", "--disable-pip-version-check", "--target", str(site)]
    paths = [str(write_wheel(plugin, wheels)) for plugin in plugins]
    subprocess.run([*command, *paths], check=True, timeout=280)
    return site

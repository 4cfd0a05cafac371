"""The house as it stands: imports go down, each door to the outside is one module, importing does nothing."""

import ast
import builtins
import subprocess
import sys
from functools import cache
from itertools import chain
from pathlib import Path

import aiohttp
import pytest

ROOT = Path(__file__).parents[1]

# From the commands down to the records: a module imports only what stands below it, here and in `curator`.
# A new module is written where it belongs.
CRAWLER = """
    cli
    demo.tour
    command
    pipeline
    instruments
    stages
    contact  judging
    endings
    stock
    opening
    bridge  feed
    settings
    fetch  answers  wire  permission  verdict  exchange  resolve  tls  limits
    status_report  status  failures  view  rates  report
    lists  lists.opening  lists.formats  lists.schema
    lists.parquet  lists.jsonl  lists.delimited  lists.txt
    lists.streams  lists.header  lists.rows  lists.fit
    demo.site  demo  demo.plan  demo.pictures
    robots_cache  opt_outs
    frontier  outage  pace  failing  retry  forecast  snapshot  ahead
    records  leases  lookups  robots  urls  address  clocks
"""
CURATOR = """
    cli
    command
    pipeline
    export.pipeline  export.making
    export.webdataset  export.folder  export.parquet
    export.forms  export.card  export.fields  export.target
    export.decided  export.plan  export.split
    ending
    report.pages  report.render  report.charts  report.thumbs  report.facts  report.words
    summary
    opened
    outcome
    measuring
    sources.opening
    sources.listing
    sources.tar_files  sources.parquet_files
    sources.tar_headers  sources.sidecars
    sources.names
    decide
    trust  by_hand  earlier  placeholders  near
    mirrored
    census  where
    decisions
    standing
    export.records
    sources.bodies
    sources.visit
    sources.completed
    sources.measured  sources.recorded  sources.copies
    sources.reading
    sources.measures
    sources.unify  sources.fields
    sources.items
    sources.source
    dataset.verify  dataset.verify_shards  dataset.verify_ledger  dataset.problems
    dataset.kept
    dataset  dataset.reader
    dataset.writer
    dataset.commit  dataset.store
    dataset.card  dataset.failures  dataset.summary
    dataset.sealing  dataset.place
    dataset.tables
    dataset.draw  dataset.tars  dataset.rows  dataset.captions
    dataset.ingest  dataset.records  dataset.shards
    dataset.ledger  dataset.lock  dataset.space  dataset.layout  dataset.columns
    measure_encode  report.small
    hashing
    encode
    measure  decode  pixels  exif  formats  lanczos  phash  png  progressive  webp
    pool  worker  arena  heap  shield
    clusters
    identical  digests
    verdicts
    neighbours  duplicates  rules
    sources  report  export
    records  hosts  text  tasks  flags  units  fixed  settings  encoding
    ranges  simd
    reasons  errors
"""
ORDER = tuple(f"crawler.{name}" for name in CRAWLER.split()) + tuple(
    f"curator.{name}" for name in CURATOR.split()
)

# Who may import what reaches outside, and what for.
NETWORK = {
    "crawler.fetch": "opens every connection",
    "crawler.resolve": "asks name servers, for crawler.fetch",
    "crawler.wire": "asks over them",
    "crawler.answers": "reads what comes back over them",
    "crawler.verdict": "knows the names of its errors",
    "crawler.demo.site": "is a web site, in a process of its own",
}
PROCESSES = {
    "curator.pool": "starts the workers",
    "curator.worker": "is one: it watches its parent",
    "curator.arena": "memory that is handed to one",
    "crawler.demo": "starts the demo's site",
}
STATE = {
    "curator.worker": "a worker process knows what it was started with: its executor hands nothing on",
}
NETWORK_LIBRARIES = {
    *("socket", "socketserver", "aiohttp", "aiodns", "pycares", "requests", "httpx", "urllib3"),
    *("http", "urllib.request", "ftplib", "smtplib", "imaplib", "poplib", "telnetlib", "xmlrpc"),
}
PROCESS_LIBRARIES = {"subprocess", "multiprocessing", "concurrent.futures.process", "pty"}
IMAGE_LIBRARIES = {"cv2", "simplejpeg", "pyvips", "imageio", "turbojpeg", "pillow_heif", "skimage"}
LIBRARIES = NETWORK_LIBRARIES | PROCESS_LIBRARIES | IMAGE_LIBRARIES
OPENING_CONNECTIONS = {
    *("open_connection", "open_unix_connection", "create_connection", "create_datagram_endpoint"),
    *("sock_connect", "create_server", "start_server", "ClientSession", "TCPConnector", "socketpair"),
}
STARTING_PROCESSES = {
    *("fork", "forkpty", "posix_spawn", "posix_spawnp", "system", "popen", "Popen", "Process"),
    *("create_subprocess_exec", "create_subprocess_shell", "subprocess_exec", "subprocess_shell"),
    *("ProcessPoolExecutor", "execv", "execve", "execvp", "spawnv", "spawnvp", "spawnl"),
}
MUTATING = {
    *("append", "extend", "insert", "add", "update", "setdefault", "pop", "popitem", "remove", "discard"),
    *("clear", "sort", "reverse", "appendleft", "popleft"),
}


@cache
def modules():
    """Every module of both packages and its syntax tree."""
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): ast.parse(
            path.read_text()
        )
        for package in ("crawler", "curator")
        for path in sorted((ROOT / package).rglob("*.py"))
    }


def imported(name):
    """Everything that a module imports, anywhere in it, by its full name."""
    for node in ast.walk(modules()[name]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: imports are absolute here"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in modules() or full in LIBRARIES else node.module


def importers(libraries):
    """The modules that import one of `libraries` or something in them."""
    return {
        name
        for name in modules()
        if any(
            one == library or one.startswith(f"{library}.") for one in imported(name) for library in libraries
        )
    }


def users(names):
    """The modules that name one of `names`, as an attribute or as something imported."""
    found = set()
    for module, tree in modules().items():
        for node in ast.walk(tree):
            match node:
                case ast.Attribute(attr=name) if name in names:
                    found.add(module)
                case ast.ImportFrom(names=several) if {alias.name for alias in several} & names:
                    found.add(module)
    return found


def inner():
    """All modules but the two packages themselves, which have nothing in them."""
    return [name for name in modules() if "." in name]


def test_every_module_has_its_place():
    """Each module stands in the order once, and the order names no other."""
    assert sorted(ORDER) == sorted(inner())


@pytest.mark.parametrize("name", inner())
def test_imports_go_down(name):
    """A module imports only modules that stand below it: so there are no circles either."""
    below = set(ORDER[ORDER.index(name) + 1 :])
    up = [one for one in imported(name) if one in modules() and one not in below | {"crawler", "curator"}]
    assert not up, f"{name} imports {up}, which does not stand below it"


def test_the_curator_knows_no_crawler():
    """The library of images never imports the network."""
    assert not {name for name in importers({"crawler"}) if name.startswith("curator")}


@pytest.mark.parametrize("package", ["crawler", "curator"])
def test_a_package_imports_nothing(package):
    """Worker processes import the packages: they hold nothing."""
    assert modules()[package].body == []


def test_one_door_to_the_network():
    """Only the network's room imports what opens connections, and only it opens any."""
    assert importers(NETWORK_LIBRARIES) == set(NETWORK)
    assert users(OPENING_CONNECTIONS) == {"crawler.fetch"}


def test_who_translates_errors_opens_nothing():
    """Of the HTTP library, the verdict knows exceptions only."""
    used = {
        node.attr
        for node in ast.walk(modules()["crawler.verdict"])
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "aiohttp"
    }
    assert used
    assert all(issubclass(getattr(aiohttp, name), Exception) for name in used)


def test_one_door_to_processes():
    """Only the pool starts processes, and the demo its site."""
    assert importers(PROCESS_LIBRARIES) == set(PROCESSES)
    assert users(STARTING_PROCESSES) == {"curator.pool", "crawler.demo"}


def test_one_door_to_images():
    """Only one module opens an image, with Pillow."""
    opening = {
        name
        for name, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr == "open"
        and ast.unparse(node.value).split(".")[-1] in ("Image", "ImageFile")
    }
    assert opening == {"curator.decode"}
    assert not importers({"PIL.Image"})  # `from PIL.Image import open` would hide it
    assert not importers(IMAGE_LIBRARIES)


@pytest.mark.parametrize("name", inner())
def test_no_state_in_modules(name):
    """No function changes a name or a collection of its module."""
    tree = modules()[name]
    made = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    inside = chain.from_iterable(ast.walk(function) for function in functions)
    changed = set(chain.from_iterable(_changed(node) for node in inside))
    assert bool(changed & (made | {"global"})) == (name in STATE)


def _changed(node):
    """Names that a statement or a call changes in place, and "global" for a statement of that name."""
    match node:
        case ast.Global():
            return {"global"}
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=method)) if method in MUTATING:
            return {name}
        case ast.Subscript(value=ast.Name(id=name), ctx=ast.Store() | ast.Del()):
            return {name}
        case _:
            return set()


def run(code):
    """Run `code` in a Python of its own: what it printed."""
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.parametrize("command", ["crawler.cli", "curator.cli"])
def test_the_commands_stay_light(command):
    """Worker processes import the main module: it brings none of the heavy libraries."""
    heavy = {"aiohttp", "uvloop", "pyarrow", "numpy", "PIL", "imagehash", "duckdb", "sqlite3", "rich.console"}
    code = f"import sys, {command}; print(*({heavy!r} & sys.modules.keys()))"
    assert run(code).split() == []


@pytest.mark.parametrize("command", ["crawler.cli", "curator.cli"])
def test_the_commands_do_without_pandas(command):
    """After a command has begun, Arrow makes arrays of lists without importing pandas."""
    begun = f"import contextlib, sys, {command}; sys.argv[1:] = ['--version']\n"
    begun += f"with contextlib.suppress(SystemExit): {command}.main()\n"
    made = "import pyarrow; pyarrow.array([1]); print('pandas' in sys.modules)"
    assert run(begun + made).split()[-1] == "False"


# What a plain import may do is read its own source: everything else that Python can be asked to report
# (files, sockets, processes, threads, databases) is printed. Foreign libraries are imported before.
_WATCHED = """
import importlib, signal, sys
for statement in {foreign!r}:
    exec(statement)
handlers = [signal.getsignal(number) for number in signal.valid_signals()]

def watch(event, arguments):
    if event == "open" and str(arguments[0]).endswith((".py", ".pyc")):
        return
    if event.partition(".")[0] in ("socket", "subprocess", "sqlite3", "_thread", "shutil", "tempfile", "signal"):
        print(event, arguments)
    elif event in ("open", "os.system", "os.fork", "os.remove", "os.rename", "os.mkdir", "os.posix_spawn"):
        print(event, arguments)

sys.addaudithook(watch)
for name in {ours!r}:
    importlib.import_module(name)
if [signal.getsignal(number) for number in signal.valid_signals()] != handlers:
    print("signal handlers")
"""


def _foreign(node):
    """Whether it imports something that is not ours."""
    match node:
        case ast.Import(names=[first, *_]):
            return first.name.partition(".")[0] not in ("crawler", "curator")
        case ast.ImportFrom(module=module):
            return module.partition(".")[0] not in ("crawler", "curator")
    return False


def test_importing_does_nothing():
    """Importing any module opens, starts and changes nothing. (curator.shield exists to do so, elsewhere.)"""
    ours = [name for name in inner() if name != "curator.shield"]
    foreign = sorted(
        {ast.unparse(node) for name in ours for node in ast.walk(modules()[name]) if _foreign(node)}
    )
    assert "import aiohttp" in foreign
    assert run(_WATCHED.format(foreign=foreign, ours=ours)) == ""


def test_only_commands_print():
    """Below the commands nothing is printed but what a line says why."""
    printing = {
        name
        for name, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and node.id == builtins.print.__name__
    }
    assert printing == {"crawler.command", "curator.command"}

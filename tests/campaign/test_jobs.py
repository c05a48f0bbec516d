"""A task in a process of its own: how it ends, and that it ends."""

from __future__ import annotations

import os
import platform
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from refine.campaign import jobs
from refine.campaign.executors import Local, Site, available_cores, physical_memory, read_site
from refine.campaign.jobs import STOPPED, TOO_MUCH, Ended, Job, carry_out
from refine.campaign.keys import Execution
from refine.errors import InputError
from refine.files import exclusive, is_held

ROOT = Path(__file__).parents[2]

STUB = """
import os, sys, time
from refine.cli import watched
from refine.cli import main as cli

def main():
    words = sys.argv[1:]
    if words[0] == "sleep":
        time.sleep(float(words[1]))
    elif words[0] == "work":
        while True:
            time.sleep(0.01)
    elif words[0] == "exit":
        print("refine: the last word", file=sys.stderr)
        sys.exit(int(words[1]))
    elif words[0] == "die":
        os.kill(os.getpid(), 9)
    elif words[0] == "eat":
        kept = b"x" * int(words[1])
        time.sleep(60)
    elif words[0] == "program":  # a program of a program, as of MPI, with a group of its own
        import subprocess
        code = "import sys, time; kept = b'x' * int(sys.argv[1]); print('there', flush=True); time.sleep(60)"
        outer = "import subprocess, sys; sys.exit(subprocess.call(sys.argv[1:], start_new_session=True))"
        subprocess.run([sys.executable, "-c", outer, sys.executable, "-c", code, words[1]])
    elif words[0] == "cores":
        from refine.campaign.executors import available_cores
        print(list(available_cores()[0]), os.environ["OMP_NUM_THREADS"], os.environ["NPROC"])

cli.main = main
watched.main()
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where tasks run whose command is the stub."""
    library = tmp_path / "library"
    library.mkdir()
    (library / "stubbed.py").write_text(STUB)
    monkeypatch.setattr(jobs, "WATCHED", "stubbed")
    monkeypatch.setenv("PYTHONPATH", f"{library}:{ROOT}")
    (tmp_path / "point").mkdir()
    return tmp_path / "point"


def job(folder: Path, *words: str, **more: object) -> Job:
    return Job("a point", str(folder), words, "log", **more)  # type: ignore[arg-type]


def test_the_code_and_the_last_word(folder: Path) -> None:
    ended = carry_out(job(folder, "exit", "2"))
    assert (ended.code, ended.line) == (2, "the last word")
    assert carry_out(job(folder, "die")).code == -signal.SIGKILL


def test_it_stops_when_its_time_is_up(folder: Path) -> None:
    began = time.monotonic()
    assert carry_out(job(folder, "work", walltime=3.0)).code == STOPPED
    assert time.monotonic() - began < 30.0
    assert carry_out(job(folder, "sleep", "0", walltime=30.0)).code == 0


def test_it_stays_within_its_memory(folder: Path) -> None:
    ended = carry_out(job(folder, "eat", str(2**28), memory=2**27))
    assert ended.code == TOO_MUCH
    assert "0.125 are allowed" in ended.line


if Path("/proc").is_dir():  # elsewhere nobody knows them

    def test_programs_that_it_starts_count_and_end_with_it(folder: Path) -> None:
        import psutil

        def left() -> list[psutil.Process]:
            return [one for one in psutil.process_iter(["cmdline"]) if str(2**28 + 1) in (one.info["cmdline"] or [])]

        ended = carry_out(job(folder, "program", str(2**28 + 1), memory=2**27))
        assert ended.code == TOO_MUCH
        assert "0.125 are allowed" in ended.line
        _until(lambda: not left())
        assert carry_out(job(folder, "program", str(2**28 + 1), walltime=3.0)).code == STOPPED
        _until(lambda: not left())


def test_it_ends_with_whoever_started_it(folder: Path) -> None:
    """Also where that one is killed."""
    code = "from refine.campaign import jobs\njobs.WATCHED = 'stubbed'\n"
    code += f"jobs.carry_out(jobs.Job('p', {str(folder)!r}, ('work',), 'log'))"
    parent = subprocess.Popen([sys.executable, "-c", code], env=dict(os.environ))
    _until(lambda: is_held(folder))
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    _until(lambda: not is_held(folder))


def test_one_at_a_time_in_a_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "PATIENCE", 0.0)
    with exclusive(folder):
        assert carry_out(job(folder, "exit", "0")).code == jobs.HELD


def test_cores_and_threads(folder: Path) -> None:
    """Where the system pins a process to cores it has its own alone, and elsewhere all."""
    cores, pinned = available_cores()
    own = [cores[0]] if pinned else list(cores)
    assert carry_out(job(folder, "cores", threads=3, cores=(cores[0],))).line == f"{own} 3 3"


def test_local_workers(folder: Path) -> None:
    """Side by side, each task in a folder of its own; what is closed ends at once."""
    executor = Local(Execution(workers=2))
    for name in "ab":
        (folder / name).mkdir()
    futures = [executor.submit(job(folder / name, "exit", code)) for name, code in (("a", "0"), ("b", "3"))]
    assert executor.running() == 2  # also before the first process is there
    assert [future.result().code for future in futures] == [0, 3]
    last = executor.submit(job(folder / "a", "work"))
    _until(lambda: is_held(folder / "a"))
    assert executor.running() == 1
    executor.close()
    assert last.result().code == -signal.SIGKILL


def test_as_many_as_there_is_room_for() -> None:
    gib = physical_memory() / 2**30
    assert Local(Execution()).workers == len(available_cores()[0])
    assert Local(Execution(memory=gib * 0.7)).workers == 1
    with pytest.raises(InputError, match=r"\[run\] cores: asks for 1000 of the"):
        Local(Execution(cores=1000))
    with pytest.raises(InputError, match=r"\[run\] memory: asks for"):
        Local(Execution(memory=gib * 2))


def test_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("refine: of before\n")
    begin = log.stat().st_size
    with log.open("a") as stream:
        stream.write("working\nrefine: \x1b[31mno such key\nmore\n\n")
    assert jobs.last_line(log, begin) == "[31mno such key"
    assert jobs.last_line(tmp_path / "none") == ""
    assert jobs.in_words(-9, "") == "the process was ended by signal 9"


SITES = sorted((ROOT / "experiments" / "sites").glob("*.py"))


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A machine without a scheduler, a network or a name service, but for its own address, which this is."""
    address = "192.0.2.7"

    def refused(*_: object) -> None:
        raise AssertionError("a site file looks for another machine")

    monkeypatch.setenv("PATH", str(tmp_path))  # no sbatch, no sacct, no qstat
    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    monkeypatch.setattr(socket, "gethostbyname", {platform.node(): address}.__getitem__)
    return address


@pytest.mark.parametrize("file", SITES, ids=lambda path: path.stem)
def test_the_site_files_that_ship(file: Path, alone: str) -> None:
    """Each builds its Config and asks nobody: one executor that knows its workers, no retries but refine's own."""
    config = read_site(file)
    (executor,) = config.executors
    assert config.retries == 0
    assert executor.provider.nodes_per_block >= 1
    assert executor.workers_per_node > 1  # else Parsl takes a node for a worker when it asks for jobs
    assert executor.all_addresses == {"127.0.0.1" if "local" in file.name else alone}
    if "local" not in file.name:
        assert "is not known here" in file.read_text(encoding="utf-8")
    if "polaris" in file.name:
        assert executor.workers_per_node == len(executor.available_accelerators) == 4
        assert executor.provider.select_options == "ngpus=4"
    if "aurora" in file.name:
        assert executor.cpu_affinity.count(":") == len(executor.available_accelerators) == 12
    if executor.drain_period is not None:
        hours, minutes, seconds = map(int, executor.provider.walltime.split(":"))
        assert executor.drain_period < 3600 * hours + 60 * minutes + seconds


def test_site_files_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "site.py"
    with pytest.raises(InputError, match="no such file"):
        read_site(path)
    path.write_text("config = 3\n")
    with pytest.raises(InputError, match="has no variable config"):
        read_site(path)
    path.write_text("import nothing_like_that\n")
    with pytest.raises(InputError, match="ModuleNotFoundError"):
        read_site(path)
    path.write_text("raise SystemExit(3)\n")  # which would be the command's code, and means another thing there
    with pytest.raises(InputError, match="SystemExit: 3"):
        read_site(path)


NOBODY = """
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.providers import LocalProvider

executor = HighThroughputExecutor(address="127.0.0.1", provider=LocalProvider(init_blocks=0, min_blocks=0))
config = Config(executors=[executor], strategy="none")
"""

HOLDS = """
import sys, time
from pathlib import Path
from refine.campaign.executors import Site
if sys.argv[3] == "close":  # one that was there before
    Site(Path(sys.argv[1]), Path(sys.argv[2])).close()
site = Site(Path(sys.argv[1]), Path(sys.argv[2]))
(executor,) = (one for one in site._kernel.executors.values() if hasattr(one, "interchange_proc"))
print(executor.interchange_proc.pid, site._orphans.pid, flush=True)
if sys.argv[3] == "close":
    site.close()
else:
    time.sleep(600)
"""


@pytest.mark.parametrize("how", ["kill", pytest.param("close", marks=pytest.mark.slow)])
def test_nothing_of_parsl_outlives_a_campaign(how: str, tmp_path: Path) -> None:
    """Its interchange, which would go on giving tasks away, nor what looks after that; also where it is killed."""
    import psutil

    (tmp_path / "site.py").write_text(NOBODY)
    command = [sys.executable, "-c", HOLDS, str(tmp_path / "site.py"), str(tmp_path / "logs"), how]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert process.stdout is not None
    others = [psutil.Process(int(pid)) for pid in process.stdout.readline().split()]
    if how == "kill":
        process.send_signal(signal.SIGKILL)
    process.wait(60.0)
    _until(lambda: not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in others))


def test_without_parsl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "parsl", None)
    with pytest.raises(InputError, match=r"a site file needs Parsl, which is not installed; python -m pip install"):
        Site(tmp_path / "site.py", tmp_path)


def test_what_is_sent_to_workers_can_be_sent() -> None:
    """By Parsl, as it sends it."""
    from parsl.serialize import deserialize, serialize

    sent = job(Path("/a"), "run", "study.toml")
    assert deserialize(serialize(sent)) == sent
    assert deserialize(serialize(carry_out)) is carry_out
    assert deserialize(serialize(Ended(0, 1.0))) == Ended(0, 1.0)


def _until(true: object, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not true():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.05)

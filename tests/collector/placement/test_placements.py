"""Which GPU serves which replica: configured before seen, seen before nothing, nothing never guessed."""

from __future__ import annotations

from collector.gpus.nvml import Session
from collector.gpus.processes import compute_processes
from collector.placement.placements import SEEN_CONFIDENCE, Placements, Serving, seen
from collector.placement.processes import Server
from collector.placement.proven import ProcessPlacements
from collector.settings import EngineTarget, Settings
from telemetry.placement import PlacementSource
from telemetry.samples import EngineSample

NOW = 1_700_000_000_000_000


class Known:
    """Processes whose server is known beforehand: (pid, port) -> server."""

    def __init__(self, servers, *, host=True):
        self._servers, self._host = servers, host

    def host_ids(self):
        return self._host

    def server_above(self, pid, address, port):
        return self._servers.get((pid, address, port))


def serving(port=8000, ranks=1, url=None, **given):
    target = EngineTarget(url=url or f"http://127.0.0.1:{port}/metrics", **given)
    samples = {
        rank: EngineSample(
            at_us=NOW, replica=str(target.replica("n", rank)), host="n", engine="vllm", model="m"
        )
        for rank in range(ranks)
    }
    return Serving(target, samples)


def mapped(running, engines, servers, **more):
    return {each.gpu_uuid: each.replica for each in seen(running, engines, Known(servers, **more), NOW)}


def test_a_gpu_whose_process_descends_from_a_server_is_its_replicas():
    engines = [serving(8000), serving(8001)]
    servers = {(11, None, 8000): Server(10, None), (21, None, 8001): Server(20, None)}
    running = {"GPU-a": (11,), "GPU-b": (21,), "GPU-idle": (), "GPU-other": (99,)}
    assert mapped(running, engines, servers) == {"GPU-a": "n:8000", "GPU-b": "n:8001"}


def test_ranks_are_told_apart_by_their_titles_or_not_at_all():
    servers = {(pid, None, 8000): Server(10, rank) for pid, rank in ((11, 0), (12, 1), (13, None), (14, 9))}
    running = {f"GPU-{pid}": (pid,) for pid in (11, 12, 13, 14)}
    assert mapped(running, [serving(ranks=2)], servers) == {"GPU-11": "n:8000", "GPU-12": "n:8000#1"}


def test_a_gpu_that_two_replicas_share_is_left_unmapped():
    servers = {(11, None, 8000): Server(10, None), (21, None, 8001): Server(20, None)}
    assert mapped({"GPU-a": (11, 21)}, [serving(8000), serving(8001)], servers) == {}


def test_in_a_container_with_process_ids_of_its_own_nothing_is_said():
    assert mapped({"GPU-a": (11,)}, [serving()], {(11, None, 8000): Server(10, None)}, host=False) == {}


def test_an_engine_behind_a_name_is_not_looked_for():
    engines = [serving(url="http://engine.example:8000/metrics")]
    assert mapped({"GPU-a": (11,)}, engines, {(11, None, 8000): Server(10, None)}) == {}


def test_what_is_seen_says_so_and_how_sure_it_is():
    (placement,) = seen(
        {"GPU-a": (11,)}, [serving(pool="chat")], Known({(11, None, 8000): Server(10, None)}), NOW
    )
    assert (placement.source, placement.confidence_ratio) == (PlacementSource.PROCESS, SEEN_CONFIDENCE)
    assert (placement.model, placement.pool, placement.host) == ("m", "chat", "n")


def found(gpu, port=8000):
    servers = {(11, None, port): Server(10, None)}
    return list(seen({gpu: (11,)}, [serving(port)], Known(servers), NOW))


def test_configuration_goes_before_what_is_seen():
    target = EngineTarget(url="http://127.0.0.1:8000/metrics", gpus=("GPU-a",))
    placements = Placements(Settings(host="n", engines=(target,), region="eu"), lambda: NOW)
    assert placements.find(found("GPU-a", 8001), NOW) == []  # its GPU is given away
    assert placements.find(found("GPU-b", 8000), NOW) == []  # its GPUs are named
    assert placements.gpus_of("n:8000") == ("GPU-a",)
    assert [each.source for each in placements.now()] == [PlacementSource.CONFIGURATION]


def test_what_is_seen_is_told_when_it_begins_and_when_it_ends():
    placements = Placements(Settings(host="n", region="eu"), lambda: NOW + 5)
    begun, again = placements.find(found("GPU-a"), NOW), placements.find(found("GPU-a"), NOW)
    assert [(each.replica, each.region, each.until_us) for each in begun] == [("n:8000", "eu", None)]
    assert again == []
    assert [each.at_us for each in placements.now()] == [NOW + 5]
    assert placements.gpus_of("n:8000") == ("GPU-a",)
    moved = placements.find(found("GPU-b"), NOW + 9)
    assert [(each.gpu_uuid, each.until_us) for each in moved] == [("GPU-a", NOW + 9), ("GPU-b", None)]
    assert placements.gpus_of("n:8000") == ("GPU-b",)


def test_the_driver_lists_the_processes_of_each_gpu(make_driver):
    driver = make_driver(gpus=3)
    driver.run(0, 400, 300)
    driver.lose(2)
    session = Session()
    session.renew(0)
    assert compute_processes(session) == {
        driver.gpus[0].uuid.decode(): (300, 400),
        driver.gpus[1].uuid.decode(): (),
    }


def test_the_source_asks_the_driver_seldom_and_only_with_engines(make_driver):
    driver = make_driver()
    driver.run(0, 11)
    session, engines = Session(), []
    session.renew(0)
    placements = Placements(Settings(host="n"), lambda: NOW)
    known = Known({(11, None, 8000): Server(10, None)})
    source = ProcessPlacements(session, placements, lambda: engines, processes=known, every_seconds=3600)
    assert source.read(NOW).records == ()
    engines.append(serving())
    (placement,) = source.read(NOW).records
    calls = driver.calls(0)
    assert (placement.gpu_uuid, placement.replica) == (driver.gpus[0].uuid.decode(), "n:8000")
    assert source.read(NOW).records == () and driver.calls(0) == calls


def test_a_driver_that_refuses_the_list_says_so(make_driver, fake_nvml):
    driver = make_driver()
    session = Session()
    session.renew(0)
    driver.fail(None, "nvmlDeviceGetCount_v2", 999)
    placements = Placements(Settings(host="n"), lambda: NOW)
    source = ProcessPlacements(session, placements, lambda: [serving()], processes=Known({}))
    assert "list the processes on the GPUs" in source.read(NOW).health.error


def test_a_gpu_that_does_not_list_is_left_out(make_driver, fake_nvml):
    driver = make_driver(gpus=2)
    driver.fail(0, "nvmlDeviceGetComputeRunningProcesses_v3", fake_nvml.NOT_SUPPORTED)
    session = Session()
    session.renew(0)
    assert list(compute_processes(session)) == [driver.gpus[1].uuid.decode()]

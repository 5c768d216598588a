"""compose.yaml: what it names is there, its parts agree with one another, and nothing is open that need not be."""

import ipaddress
from pathlib import Path
from typing import Any

import pytest

from engine.settings import Settings, load_settings
from tests.flows.stage import ROOT
from tests.root.image.compose import HERE, NETWORK, moved, read_compose
from tests.root.image.dockerfile import read_stages

COMPOSE = read_compose(ROOT / "compose.yaml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
STAGES = {stage.name: stage for stage in read_stages((ROOT / "Dockerfile").read_text(encoding="utf-8"))}
ALL = sorted(SERVICES)


@pytest.fixture
def settings() -> Settings:
    """The engine's, with its table where it lies in the repository."""
    return load_settings(ROOT / "config" / "compose.toml", ['bindings.table="config/bindings.csv"'])


def address(service: str) -> str:
    return str(SERVICES[service]["networks"]["sip"]["ipv4_address"])


def after(service: str, option: str) -> str:
    command = SERVICES[service]["command"]
    return str(command[command.index(option) + 1])


def test_who_is_there() -> None:
    assert ALL == ["callees", "callers", "engine", "grafana", "prometheus"]


@pytest.mark.parametrize("name", ALL)
def test_what_a_service_names_is_there(name: str) -> None:
    service = SERVICES[name]
    if "build" in service:
        assert service["build"] == {"context": ".", "target": service["build"]["target"]}
        assert service["build"]["target"] in STAGES
    elif "/" not in service["image"]:
        assert any("build" in other and other["image"] == service["image"] for other in SERVICES.values())
    else:
        assert service["image"].partition(":")[2] not in ("", "latest")
    for mount in service.get("volumes", []):
        source, target, *mode = mount.split(":")
        assert target.startswith("/")
        if source.startswith("."):
            assert (ROOT / source).exists(), source
            assert mode == ["ro"]
        else:
            assert source in COMPOSE["volumes"]
    for other in service.get("depends_on", {}):
        assert other in SERVICES
    assert service.get("network_mode") in (None, "service:engine")


@pytest.mark.parametrize("name", ALL)
def test_every_service_is_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["tmpfs"] == ["/tmp"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "user", "cap_add", "pid", "ipc", "devices"} & set(service)


def test_ports_are_open_to_this_machine_alone() -> None:
    for service in SERVICES.values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_addresses_are_of_the_network_and_nobody_shares_one() -> None:
    (network,) = COMPOSE["networks"]["sip"]["ipam"]["config"]
    own = [address(name) for name in ("engine", "callees", "callers")]
    assert len(set(own)) == 3
    assert all(ipaddress.ip_address(one) in ipaddress.ip_network(network["subnet"]) for one in own)


def test_the_engine_is_where_the_others_look_for_it(settings: Settings) -> None:
    assert {f"{one.transport}:{one.host}" for one in settings.sip.listen_addresses()} == {
        f"udp:{address('engine')}",
        f"tcp:{address('engine')}",
    }
    assert settings.sip.advertise == address("engine")
    assert SERVICES["callers"]["command"][0] == f"{address('engine')}:5060"
    assert after("callers", "-i") == address("callers")
    assert after("callees", "-i") == address("callees")
    (trunk,) = settings.trunks
    assert trunk.next_hops == [f"udp://{address('callees')}:{after('callees', '-p')}"]
    assert ipaddress.ip_address(address("callers")) in ipaddress.ip_network(trunk.peers[0])


def test_the_engine_finds_its_files(settings: Settings) -> None:
    mounts = dict(mount.split(":")[:2] for mount in SERVICES["engine"]["volumes"])
    config = SERVICES["engine"]["environment"]["MASK700_CONFIG"]
    table = load_settings(ROOT / "config" / "compose.toml", []).bindings.table
    for inside in (config, table):
        assert (ROOT / "config" / Path(inside).relative_to(mounts["./config"])).is_file(), inside
    volume = STAGES["engine"].last("VOLUME")
    assert volume is not None
    assert mounts["engine"] == volume.words[0] == str(settings.data_dir)


def test_the_engine_may_drain_before_it_is_killed(settings: Settings) -> None:
    assert settings.control.drain_timeout_s < int(SERVICES["engine"]["stop_grace_period"].removesuffix("s"))


def test_it_is_asked_how_it_is_as_the_image_says() -> None:
    asked = STAGES["engine"].last("HEALTHCHECK")
    assert asked is not None
    assert SERVICES["engine"]["healthcheck"]["test"] == ["CMD", *asked.words]


def test_sipp_plays_a_flow_of_the_lab() -> None:
    for service, scenario in (("callers", "uac.xml"), ("callees", "uas.xml")):
        flow = ROOT / "sipp_scenarios" / Path(SERVICES[service]["working_dir"]).relative_to("/flows")
        assert after(service, "-sf") == scenario
        assert (flow / scenario).is_file()
        calls = (flow / after(service, "-inf")).read_text(encoding="utf-8").splitlines()
        if service == "callees":
            command = SERVICES[service]["command"]
            column = int(command[command.index("-infindex") + 2])
            assert calls[1].lstrip("# ").split(";")[column] == "callee"


def test_prometheus_finds_the_engine(settings: Settings) -> None:
    """Both sit on one loopback interface, and the image reads /etc/prometheus/prometheus.yml."""
    assert "./config/prometheus:/etc/prometheus:ro" in SERVICES["prometheus"]["volumes"]
    scraping = read_compose(ROOT / "config" / "prometheus" / "prometheus.yml")
    targets = [
        target
        for job in scraping["scrape_configs"]
        for group in job["static_configs"]
        for target in group["targets"]
    ]
    assert targets == [settings.control.listen]
    assert SERVICES["prometheus"]["network_mode"] == "service:engine"


def test_grafana_finds_prometheus_and_the_dashboards() -> None:
    """All three sit on one loopback interface, and the mount is the image's provisioning folder."""
    (provisioning,) = [mount for mount in SERVICES["grafana"]["volumes"] if mount.startswith("./")]
    here, there, _ = provisioning.split(":")
    assert there == "/etc/grafana/provisioning"
    assert SERVICES["grafana"]["network_mode"] == SERVICES["prometheus"]["network_mode"]
    (source,) = read_compose(ROOT / here / "datasources" / "prometheus.yaml")["datasources"]
    assert source["url"] == "http://127.0.0.1:9090"
    (provider,) = read_compose(ROOT / here / "dashboards" / "mask700.yaml")["providers"]
    dashboards = ROOT / here / Path(provider["options"]["path"]).relative_to(there)
    assert list(dashboards.glob("*.json"))
    published = {port.rpartition(":")[2] for port in SERVICES["engine"]["ports"]}
    assert published == {"9090", "3000"}


def test_it_can_be_moved_to_this_machine() -> None:
    there = {"command": [f"{NETWORK}10:5060", "-d"], "environment": {"A": "b"}, "other": 1}
    assert moved(there) == {"command": [f"{HERE}10:5060", "-d"], "environment": {"A": "b"}, "other": 1}
    assert ipaddress.ip_address(f"{HERE}10").is_loopback

"""host/fabric_manager.py: installed, running, enabled, and the same version as the driver."""

from __future__ import annotations

from provision.doors.reading import Reading
from provision.host import driver, fabric_manager
from provision.host._model import Host, Missing

NOT_THERE = "LoadState=not-found\nActiveState=inactive\nUnitFileState=\n"
RUNNING = "LoadState=loaded\nActiveState=active\nUnitFileState=enabled\n"
STOPPED = "LoadState=loaded\nActiveState=failed\nUnitFileState=disabled\n"


def ok(text: str) -> Reading:
    return Reading(outcome="ok", text=text)


def test_running_and_equal() -> None:
    host = Host(
        {
            fabric_manager.VERSION.key: ok("Fabric Manager version is : 580.65.06\n"),
            fabric_manager.SERVICE.key: ok(RUNNING),
            driver.MODULE.key: ok("580.65.06\n"),
        }
    )
    assert host.value(fabric_manager.FACT) == fabric_manager.FabricManager(
        version="580.65.06", running=True, enabled=True
    )
    assert host.warnings(fabric_manager.FACT) == []


def test_stopped_and_of_another_version() -> None:
    host = Host(
        {
            fabric_manager.VERSION.key: ok("Fabric Manager version is : 580.65.06\n"),
            fabric_manager.SERVICE.key: ok(STOPPED),
            driver.MODULE.key: ok("580.95.05\n"),
        }
    )
    assert host.value(fabric_manager.FACT) == fabric_manager.FabricManager(
        version="580.65.06", running=False, enabled=False
    )
    assert host.warnings(fabric_manager.FACT) == [
        "fabric manager 580.65.06 does not match driver 580.95.05; install 580.95.05"
    ]


def test_in_a_container_only_its_pid_file_shows() -> None:
    host = Host(
        {
            fabric_manager.SERVICE.key: Reading(outcome="absent"),
            fabric_manager.PID.key: ok(
                '{"/run/nvidia-fabricmanager/nv-fabricmanager.pid": "2211"}'
            ),
        }
    )
    assert host.value(fabric_manager.FACT) == fabric_manager.FabricManager(running=True)
    assert host.warnings(fabric_manager.FACT) == []


def test_systemd_knows_of_no_such_unit() -> None:
    absent = Reading(outcome="absent", detail="nv-fabricmanager was not found")
    host = Host({fabric_manager.VERSION.key: absent, fabric_manager.SERVICE.key: ok(NOT_THERE)})
    assert host.value(fabric_manager.FACT) == Missing(why="absent", detail=absent.detail)
